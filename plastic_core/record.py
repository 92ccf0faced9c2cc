"""A run on disk: a folder with run.json, curves.nc, a figure, and a checkpoint while it runs.

Every file is written beside its place and moved there, so that a killed run leaves whole files.
No format used here can hold code.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from plastic_core.errors import PlasticError, differences
from plastic_core.files import explained, write_atomically, write_json
from plastic_core.parameters import Parameters
from plastic_core.specs import RunSpec
from plastic_core.trainer import Curves

if TYPE_CHECKING:
    import xarray as xr

RUN_FILE: Final = "run.json"
CURVES_FILE: Final = "curves.nc"
FIGURE_FILE: Final = "learning_curve.png"
WEIGHTS_FILE: Final = "weights.safetensors"
CHECKPOINT_FILE: Final = "checkpoint.safetensors"

# Checkpoints are written at evaluation points, so seldom that they take at most this share of the
# time, and none in the first moments of a run.
_CHECKPOINT_SHARE: Final = 0.05
_FIRST_CHECKPOINT: Final = 0.2


_REMEDY: Final = "free or allow it, or give another folder with --out"


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


class RunFolder:
    """The folder of one run.

    Args:
        path: where it is, or shall be.
        spec: the resolved spec of the run.
        resume: whether it may hold this very run, to be continued.

    Attributes:
        state: "new", "started" (by this spec, not finished) or "finished".

    Raises:
        PlasticError: the folder cannot be written, or holds something else.
    """

    def __init__(self, path: Path, spec: RunSpec, resume: bool) -> None:
        self.path, self._spec = path, spec
        self.state: Literal["new", "started", "finished"] = "new"
        self._next_checkpoint = time.monotonic() + _FIRST_CHECKPOINT
        with explained(path, _REMEDY):
            exists = path.exists()
        if exists and not path.is_dir():
            raise PlasticError(f"--out {path}: is a file; name a folder that is new or empty")
        with explained(path, _REMEDY):
            holds = sorted(p.name for p in path.iterdir()) if exists else []
        if RUN_FILE in holds:
            self.state = self._check_other_run(resume)
        elif holds and not all(name.startswith(".") for name in holds):
            raise PlasticError(
                f"--out {path}: holds files that are no run ({', '.join(holds[:3])}); "
                "name a folder that is new or empty"
            )

    def make(self) -> None:
        """Make the folder, once it is known that there will be something to write."""
        with explained(self.path, _REMEDY):
            self.path.mkdir(parents=True, exist_ok=True)

    def read_record(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises:
            PlasticError: it is damaged.
        """
        file = self.path / RUN_FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(content["spec"], dict) or content["state"] not in (
                "started",
                "finished",
            ):
                raise ValueError("'spec' or 'state' has an unexpected value")
            if content["state"] == "finished":
                RunSummary.model_validate(content["result"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split("\n")[:3])
            raise PlasticError(
                f"{file}: is no record of a run ({reason}); move the folder away, or give "
                "another --out"
            ) from None
        return dict(content)

    def write_record(self, content: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.path / RUN_FILE, content, _REMEDY)

    def read_curves(self) -> xr.Dataset:
        """Return curves.nc.

        Raises:
            PlasticError: it is missing or damaged.
        """
        import xarray as xr

        file = self.path / CURVES_FILE
        try:
            curves = xr.load_dataset(file, engine="h5netcdf")
            for name in ("accuracy", "loss"):
                if curves[name].dims != ("seed", "step"):
                    raise ValueError(f"{name} is over {curves[name].dims}")
            return curves
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise PlasticError(
                f"{file}: cannot be read: {error}; run again with another --out"
            ) from None

    def write_curves(self, curves: xr.Dataset) -> None:
        """Write curves.nc."""
        self._write(CURVES_FILE, lambda path: curves.to_netcdf(path, engine="h5netcdf"))

    def write_figure(self, draw: Callable[[Path], Any]) -> None:
        """Write the learning-curve figure by `draw`, which is given a path."""
        self._write(FIGURE_FILE, draw)

    def write_weights(self, parameters: Parameters) -> None:
        """Write weights, feedback and states."""
        tensors = {k: v.contiguous().cpu() for k, v in parameters.named().items()}
        self._write(WEIGHTS_FILE, lambda path: _save(tensors, path))

    def write_checkpoint(self, parameters: Parameters, curves: Curves) -> None:
        """Write what is needed to continue, unless that was done a short while ago."""
        begun = time.monotonic()
        if begun < self._next_checkpoint:
            return
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
        metadata = {"curves": json.dumps(numbers)}
        self._write(CHECKPOINT_FILE, lambda path: _save(tensors, path, metadata))
        ended = time.monotonic()
        self._next_checkpoint = ended + (ended - begun) / _CHECKPOINT_SHARE

    def read_checkpoint(self, parameters: Parameters, curves: Curves) -> bool:
        """Set parameters and curves to the last checkpoint; return whether there was one.

        Raises:
            PlasticError: the checkpoint is damaged.
        """
        file = self.path / CHECKPOINT_FILE
        if not file.exists():
            return False
        try:
            with safe_open(file, framework="pt") as checkpoint:
                numbers = json.loads(checkpoint.metadata()["curves"])
            stored = load_file(file)
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
        except (
            OSError,
            SafetensorError,
            KeyError,
            ValueError,
            TypeError,
            RecursionError,
        ) as error:
            raise PlasticError(
                f"{file}: is damaged ({error}); delete it to begin this run anew"
            ) from None
        return True

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a finished run."""
        with explained(self.path, _REMEDY):
            (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def _check_other_run(self, resume: bool) -> Literal["started", "finished"]:
        if not resume:
            raise PlasticError(
                f"--out {self.path}: holds a run already; add --resume to continue it, or give "
                "another folder"
            )
        record = self.read_record()
        differs = differences(record["spec"], self._spec.model_dump(mode="json"))
        if differs:
            raise PlasticError(
                f"--out {self.path}: holds another run, so it cannot be resumed:\n  "
                + "\n  ".join(differs)
                + "\n  give another folder, or the same spec"
            )
        return "finished" if record["state"] == "finished" else "started"

    def _write(self, name: str, write: Callable[[Path], Any]) -> None:
        write_atomically(self.path / name, write, _REMEDY)


def _save(
    tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors; what the system says becomes the OSError that other writers raise."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error).removeprefix("Error while serializing: ")) from None
