"""Methods of plugins that give a tensor, tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from plastic_core.base.errors import describe_exception
from plastic_core.base.fault import Fault


def tried(
    faults: list[Fault],
    fault: Callable[[str, str], Fault],
    compute: Callable[[], Any],
    shape: tuple[int, ...],
    dtype: torch.dtype | None = None,
) -> Tensor | None:
    """Return what a method gives, or add what is wrong with it.

    Args:
        faults: added to.
        fault: makes one of what was found and what is expected.
        compute: calls the method.
        shape: that is expected.
        dtype: that is expected, None for any.
    """
    kind = "" if dtype is None else f"type {dtype} and "
    expected = f"expected finite numbers of {kind}shape {list(shape)}"
    try:
        found = compute()
    except Exception as error:
        faults.append(fault(f"raised {describe_exception(error)}", expected))
        return None
    if not isinstance(found, Tensor):
        faults.append(fault(f"returned {found!r}", expected))
    elif found.shape != shape:
        faults.append(fault(f"returned the shape {list(found.shape)}", expected))
    elif dtype not in (None, found.dtype):
        faults.append(fault(f"returned numbers of type {found.dtype}", expected))
    elif not bool(found.isfinite().all()):
        faults.append(fault("returned numbers that are not finite", expected))
    else:
        return found
    return None
