"""Files of tensors; their format can hold no code."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from plastic_core.base.errors import PlasticError, reason_of


def save_tensors(
    tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors; what the system says becomes the OSError that other writers raise."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error).removeprefix("Error while serializing: ")) from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file.

    Raises:
        PlasticError: it cannot be read, or is damaged.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "No such file")
        return load_file(path)
    except OSError as error:
        raise PlasticError(f"{path}: cannot be read: {reason_of(error)}") from None
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise PlasticError(f"{path}: is damaged ({error}); repeat the run") from None


def copy_stored(name: str, target: torch.Tensor, stored: torch.Tensor) -> None:
    """Copy a stored tensor over one that is there.

    Raises:
        ValueError: it has another shape or type.
    """
    if (stored.shape, stored.dtype) != (target.shape, target.dtype):
        found, expected = ([*one.shape] for one in (stored, target))
        raise ValueError(f"{name} is {stored.dtype} {found}; expected {target.dtype} {expected}")
    target.copy_(stored)
