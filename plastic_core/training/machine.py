"""The machine that a run is on: whether it can do the run."""

from __future__ import annotations

import os
import textwrap
from typing import Final

import torch

from plastic_core.api.circuit import Send
from plastic_core.base.errors import PlasticError
from plastic_core.plan.plan import Plan

# Far more than any core count; torch crashes when it is asked for a hundred thousand.
_MOST_THREADS: Final = 1024


def check(plan: Plan, threads: int | None) -> None:
    """Check that this machine can do the run.

    Raises:
        PlasticError: the device is not there, the run does not fit into memory, a theta does not
            fit into the precision, or no thread is left.
    """
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        raise PlasticError(f"threads = {threads}: expected 1 to {_MOST_THREADS}")
    check_device(plan.spec.device)
    _check_range(plan)
    _check_memory(plan)


def _check_range(plan: Plan) -> None:
    largest = torch.finfo(getattr(torch, plan.spec.dtype)).max
    for name, theta in (one for stage in plan.each for one in stage.thetas.items()):
        if abs(theta) > largest:
            raise PlasticError(
                f"theta of '{name}' = {theta:g}: expected at most {largest:.3g}, the "
                f"largest number of {plan.spec.dtype}"
            )


def _check_memory(plan: Plan) -> None:
    spec = plan.spec
    weights = sum(m.shape.n_post * m.shape.n_pre for m in plan.circuit.matrices)
    weights *= 2 if plan.feedback else 1
    size = torch.finfo(getattr(torch, spec.dtype)).bits // 8
    needed = spec.seeds * (spec.samples * 8 + weights * size)
    made = [one.z if isinstance(one, Send) else one.output for one in plan.circuit.operations]
    signals = (
        min(spec.batch_size, spec.samples)
        * size
        * sum(plan.circuit.units[node.series] * plan.circuit.places(node) for node in made)
    )  # of one network at a time
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if signals > available:
        raise PlasticError(
            f"the activities of one network for batch_size = {spec.batch_size} take about "
            f"{signals / 1e9:,.0f} GB, and this machine has {available / 1e9:,.0f} GB; ask for a "
            "smaller batch_size, or for fewer units or channels"
        )
    if needed > available:
        raise PlasticError(
            f"seeds = {spec.seeds} with samples = {spec.samples} need about "
            f"{needed / 1e9:,.0f} GB, and this machine has {available / 1e9:,.0f} GB; "
            "ask for fewer seeds or samples"
        )


def check_device(name: str) -> None:
    """Check that a device is there.

    Raises:
        PlasticError: it is not.
    """
    try:
        torch.ones(1, device=name).item()
    except Exception as error:  # each kind of device fails in its own way
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise PlasticError(
            f"device = {name!r}: cannot be used here ({textwrap.shorten(reason, 120)}); write cpu, "
            "or cuda where PyTorch was installed with it and there is a GPU"
        ) from None
