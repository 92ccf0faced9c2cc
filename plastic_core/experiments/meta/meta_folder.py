"""A meta-learned rule on disk: meta.json, history.nc, figure, checkpoint."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import tomli_w
import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat

from plastic_core.base.files import drawn
from plastic_core.experiments.meta.history import History
from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.experiments.meta.thetas import as_settings
from plastic_core.results.dataset_file import read_dataset
from plastic_core.results.labelled_arrays import LabelledArrays
from plastic_core.results.result_folder import ResultFolder, whole_number
from plastic_core.results.tensor_file import copy_stored

if TYPE_CHECKING:
    import xarray as xr

META_FILE: Final = "meta.json"
HISTORY_FILE: Final = "history.nc"
FIGURE_FILE: Final = "meta_learning.png"


def place(folder: Path, name: str, spec: MetaSpec) -> Path:
    """Return where a figure keeps a meta-learned rule: another spec has another folder."""
    digest = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
    return folder / f"{name}-{digest[:8]}"


class MetaSummary(BaseModel):
    """What the record of finished meta-learning holds as its result."""

    thetas: list[dict[str, FiniteFloat]]
    learned: list[str]
    accuracy: list[FiniteFloat]
    accuracy_over: int
    diverged: int
    clipped: int
    seconds: FiniteFloat


class MetaRecord(BaseModel):
    """The content of meta.json, checked when it is read back."""

    model_config = ConfigDict(extra="allow")

    state: Literal["started", "finished"]
    spec: dict[str, Any]
    sources: dict[str, str] = {}
    result: MetaSummary | None = None

    def plain(self) -> dict[str, Any]:
        """Return the record as it was written."""
        return self.model_dump(mode="json", exclude={"result"} if self.result is None else None)


class MetaFolder(ResultFolder[MetaRecord]):
    """The folder of one meta-learned rule."""

    record_file, noun, model = META_FILE, "meta-learned rule", MetaRecord

    def read_history(self) -> xr.Dataset:
        """Return history.nc.

        Raises:
            PlasticError: it is missing or damaged.
        """
        return read_dataset(self.path / HISTORY_FILE, {"theta": ("seed", "step", "rule")})

    def write_result(self, history: LabelledArrays, record: dict[str, Any]) -> list[str]:
        """Write history.nc, learned rules, the record, which says that all is there, and a figure.

        A rule whose thetas no expression says is written as the spec of a run, one for each seed.
        Return what is to be noted where the figure cannot be drawn.
        """
        self.write_arrays(HISTORY_FILE, history)
        seeds, plugins = history.coordinates["seed"][1], record["spec"]["plugins"]
        for seed, thetas in zip(seeds, record["result"]["thetas"], strict=True):
            if any("." in name for name in thetas) and not any("@" in name for name in thetas):
                settings = as_settings(thetas)
                spec = {"rule": " + ".join(settings), "plugins": plugins, "settings": settings}
                content = tomli_w.dumps(spec).encode()
                self._write(f"rule-{seed}.toml", partial(Path.write_bytes, data=content))
        self.write_record(record)
        self.drop_checkpoint()

        def draw() -> None:
            from plastic_core.figures import draw_meta_learning

            taught = bool(record["spec"].get("teacher"))
            self._write(
                FIGURE_FILE, lambda path: draw_meta_learning(history.dataset(), path, taught)
            )

        return drawn(FIGURE_FILE, draw)

    def write_checkpoint(self, history: History, optimizer: torch.optim.Optimizer) -> None:
        """Write what is needed to continue, unless that was done a short while ago."""

        def content() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
            state = optimizer.state_dict()["state"].get(0, {})
            kept = {name: value for name, value in state.items() if value is not None}
            tensors = {f"optimizer.{name}": torch.as_tensor(v) for name, v in kept.items()}
            for name, array in history.arrays().items():
                tensors[f"history.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
            return tensors, {"done": history.done}

        self.checkpoint(content)

    def read_checkpoint(
        self, history: History, optimizer: torch.optim.Optimizer, parameter: torch.Tensor
    ) -> None:
        """Set history, optimiser and thetas to the last checkpoint, where there is one.

        Raises:
            PlasticError: the checkpoint is damaged.
        """
        with self.stored_checkpoint() as checkpoint:
            if checkpoint is None:
                return
            stored, values = checkpoint
            done = whole_number("done", values["done"], history.accuracy.shape[1])
            for name, array in history.arrays().items():
                copy_stored(name, torch.from_numpy(array), stored[f"history.{name}"])
            history.done = done
            state = {
                name.removeprefix("optimizer."): value
                for name, value in stored.items()
                if name.startswith("optimizer.")
            }
            if state:
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": {0: state}, "param_groups": groups})
                # loading makes all of it as precise as the thetas
                optimizer.state[parameter].update({k: v.clone() for k, v in state.items()})
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(history.theta[:, done]))
