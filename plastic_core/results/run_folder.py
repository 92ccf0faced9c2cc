"""A run on disk: a folder with run.json, curves.nc, a figure, and a checkpoint while it runs.

Every file is written beside its place and moved there, so that a killed run leaves whole files.
No format used here can hold code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from plastic_core.base.files import drawn
from plastic_core.networks.parameters import Parameters
from plastic_core.results.curves import Curves
from plastic_core.results.result_folder import ResultFolder, save_tensors
from plastic_core.results.run_record import RunRecord

if TYPE_CHECKING:
    import xarray as xr

RUN_FILE: Final = "run.json"
CURVES_FILE: Final = "curves.nc"
FIGURE_FILE: Final = "learning_curve.png"
WEIGHTS_FILE: Final = "weights.safetensors"


class RunFolder(ResultFolder[RunRecord]):
    """The folder of one run: run.json, curves.nc, a figure, and a checkpoint while it runs.

    Args and attributes as `ResultFolder`; the spec is the resolved one of the run.
    """

    record_file, noun, model = RUN_FILE, "run", RunRecord

    def read_curves(self) -> xr.Dataset:
        """Return curves.nc.

        Raises:
            PlasticError: it is missing or damaged.
        """
        over = ("seed", "step")
        return self.read_dataset(CURVES_FILE, {"accuracy": over, "loss": over})

    def write_result(
        self, record: RunRecord, curves: xr.Dataset, parameters: Parameters | None
    ) -> None:
        """Write curves.nc, the parameters where they are given, and last the record.

        The record says that the run is finished, so that no checkpoint is needed any more.
        """
        self.write_dataset(CURVES_FILE, curves)
        if parameters is not None:
            tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
            self._write(WEIGHTS_FILE, lambda path: save_tensors(tensors, path))
        self.write_record(record.plain())
        self.drop_checkpoint()

    def write_figure(self, draw: Callable[[Path], Any]) -> list[str]:
        """Draw the learning curve, to a path; return what is to be noted where that fails."""
        return drawn(FIGURE_FILE, lambda: self._write(FIGURE_FILE, draw))

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
                "trained_to": curves.trained_to,
                "train_seconds": curves.train_seconds,
                "trained": curves.trained,
                "updates": curves.updates,
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
            if not 0 <= numbers["trained_to"] <= curves.steps[numbers["done"] - 1]:
                raise ValueError(f"it is trained to the sample {numbers['trained_to']}")
            for name, array in curves.probes.items():
                np.copyto(array, stored[f"probes.{name}"].numpy())
            curves.done = int(numbers["done"])
            curves.trained_to = int(numbers["trained_to"])
            curves.train_seconds = float(numbers["train_seconds"])
            curves.trained = int(numbers["trained"])
            curves.updates = int(numbers["updates"])
        return True
