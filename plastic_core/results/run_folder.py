"""A run on disk: a folder with run.json, curves.nc, a figure, and a checkpoint while it runs.

Every file is written beside its place and moved there, so that a killed run leaves whole files.
No format used here can hold code.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat

from plastic_core.networks.parameters import Parameters
from plastic_core.results.curves import Curves
from plastic_core.results.result_folder import ResultFolder, save_tensors

if TYPE_CHECKING:
    import xarray as xr

RUN_FILE: Final = "run.json"
CURVES_FILE: Final = "curves.nc"
FIGURE_FILE: Final = "learning_curve.png"
WEIGHTS_FILE: Final = "weights.safetensors"


def default_folder(task: str, label: str) -> Path:
    """Return ``runs/<time>-<task>-<label>`` in the working folder."""
    label = re.sub(r"[^\w.+-]+", "_", label.replace(" ", ""))[:80]
    base = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{task.replace(':', '_')}-{label}"
    folder, count = base, 1
    while folder.exists():  # a second run within the same second
        count += 1
        folder = base.with_name(f"{base.name}-{count}")
    return folder


class _Accuracy(BaseModel):
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    per_seed: list[FiniteFloat]


class _Divergence(BaseModel):
    seed: int
    sample: int


class RunSummary(BaseModel):
    """What the record of a finished run holds as its result, checked when it is read back."""

    rule: str
    thetas: dict[str, FiniteFloat]
    task: str
    backend: str
    seeds: int
    samples: int
    accuracy: _Accuracy
    diverged: list[_Divergence]
    updates_per_second: FiniteFloat
    train_seconds: FiniteFloat
    seconds: FiniteFloat
    notes: list[str]


class RunFolder(ResultFolder):
    """The folder of one run: run.json, curves.nc, a figure, and a checkpoint while it runs.

    Args and attributes as `ResultFolder`; the spec is the resolved one of the run.
    """

    record_file, noun, result = RUN_FILE, "run", RunSummary

    def read_curves(self) -> xr.Dataset:
        """Return curves.nc.

        Raises:
            PlasticError: it is missing or damaged.
        """
        over = ("seed", "step")
        return self.read_dataset(CURVES_FILE, {"accuracy": over, "loss": over})

    def write_curves(self, curves: xr.Dataset) -> None:
        """Write curves.nc."""
        self.write_dataset(CURVES_FILE, curves)

    def write_figure(self, draw: Callable[[Path], Any]) -> None:
        """Write the learning-curve figure by `draw`, which is given a path."""
        self._write(FIGURE_FILE, draw)

    def write_weights(self, parameters: Parameters) -> None:
        """Write weights, feedback and states."""
        tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
        self._write(WEIGHTS_FILE, lambda path: save_tensors(tensors, path))

    def write_checkpoint(self, parameters: Parameters, curves: Curves) -> None:
        """Write what is needed to continue, unless that was done a short while ago."""

        def content() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
            tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
            for name in ("accuracy", "loss", "diverged_at"):
                tensors[f"curves.{name}"] = torch.from_numpy(getattr(curves, name))
            for name, array in curves.probes.items():
                tensors[f"probes.{name}"] = torch.from_numpy(array)
            numbers = {
                "done": curves.done,
                "train_seconds": curves.train_seconds,
                "trained": curves.trained,
            }
            return tensors, {"curves": numbers}

        self.checkpoint(content)

    def read_checkpoint(self, parameters: Parameters, curves: Curves) -> bool:
        """Set parameters and curves to the last checkpoint; return whether there was one.

        Raises:
            PlasticError: the checkpoint is damaged.
        """
        with self.stored_checkpoint() as checkpoint:
            if checkpoint is None:
                return False
            stored, values = checkpoint
            numbers = values["curves"]
            for name, tensor in parameters.named().items():
                if stored[name].shape != tensor.shape:
                    raise ValueError(f"{name} has another shape")
            for name, tensor in parameters.named().items():
                tensor.copy_(stored[name])
            for name in ("accuracy", "loss", "diverged_at"):
                np.copyto(getattr(curves, name), stored[f"curves.{name}"].numpy())
            if not 0 < numbers["done"] < len(curves.steps):
                raise ValueError(f"{numbers['done']} evaluations of {len(curves.steps)} are done")
            for name, array in curves.probes.items():
                np.copyto(array, stored[f"probes.{name}"].numpy())
            curves.done = int(numbers["done"])
            curves.train_seconds = float(numbers["train_seconds"])
            curves.trained = int(numbers["trained"])
        return True
