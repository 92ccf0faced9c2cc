"""A run on disk: a folder with run.json, curves.nc, a figure, and a checkpoint while it runs.

Every file is written beside its place and moved there, so that a killed run leaves whole files.
No format used here can hold code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from plastic_core.base.files import drawn
from plastic_core.networks.parameters import Parameters
from plastic_core.plan.parent import RUN_FILE, WEIGHTS_FILE
from plastic_core.results.curves import Curves
from plastic_core.results.dataset_file import CURVES_FILE, RUN_CURVES, read_dataset
from plastic_core.results.labelled_arrays import LabelledArrays
from plastic_core.results.result_folder import ResultFolder, whole_number
from plastic_core.results.run_record import RunRecord
from plastic_core.results.tensor_file import copy_stored, save_tensors

if TYPE_CHECKING:
    import xarray as xr

FIGURE_FILE: Final = "learning_curve.png"

# What every run measures; in a checkpoint the score is called accuracy, whichever it is.
_MEASURED: Final = {"accuracy": "score", "loss": "loss", "diverged_at": "diverged_at"}


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
        return read_dataset(self.path / CURVES_FILE, RUN_CURVES)

    def write_result(
        self, record: RunRecord, curves: LabelledArrays, parameters: Parameters | None
    ) -> None:
        """Write curves.nc, the parameters where they are given, and last the record.

        The record says that the run is finished, so that no checkpoint is needed any more.
        """
        self.write_arrays(CURVES_FILE, curves)
        if parameters is not None:
            tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
            self._write(WEIGHTS_FILE, lambda path: save_tensors(tensors, path))
        self.write_record(record.plain())
        self.drop_checkpoint()

    @property
    def has_figure(self) -> bool:
        """Whether the learning curve was drawn."""
        return (self.path / FIGURE_FILE).exists()

    def write_figure(self, draw: Callable[[Path], Any]) -> list[str]:
        """Draw the learning curve, to a path; return what is to be noted where that fails."""
        return drawn(FIGURE_FILE, lambda: self._write(FIGURE_FILE, draw))

    def write_checkpoint(self, parameters: Parameters, curves: Curves) -> None:
        """Write what is needed to continue, unless that was done a short while ago."""

        def content() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
            tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
            for name, field in _MEASURED.items():
                tensors[f"curves.{name}"] = torch.from_numpy(getattr(curves, field))
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
            points, most = len(curves.steps), 10**18
            done = whole_number("done", numbers["done"], points - 1)
            if not done:
                raise ValueError(f"0 evaluations of {points} are done")
            counted = {
                name: whole_number(name, numbers[name], most) for name in ("trained", "updates")
            }
            # the parameters may be those of shortly before the last point that was measured
            reached = int(curves.steps[done - 1])
            trained_to = whole_number("trained_to", numbers["trained_to"], reached)
            seconds = numbers["train_seconds"]
            if not isinstance(seconds, float) or not 0 <= seconds < math.inf:
                raise ValueError(f"train_seconds = {seconds!r}; expected a number from 0 on")
            for name, tensor in parameters.named().items():
                copy_stored(name, tensor, stored[name])
            arrays = {f"curves.{n}": getattr(curves, field) for n, field in _MEASURED.items()}
            arrays |= {f"probes.{name}": array for name, array in curves.probes.items()}
            for name, array in arrays.items():
                copy_stored(name, torch.from_numpy(array), stored[name])
            curves.done, curves.trained_to, curves.train_seconds = done, trained_to, seconds
            curves.trained, curves.updates = counted["trained"], counted["updates"]
        return True
