"""Curves for TensorBoard."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from plastic_core.api import ObservedPoint, ObservedRun, Observer, ObserverSpec, PlasticError, Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What measures more numbers of a network, such as pictures of filters, is left out.
_MOST_NUMBERS: Final = 100


class TensorBoardParams(Spec):
    """Parameters of the observer tensorboard."""

    folder: str = Field("", description="folder of the event files; default tensorboard in RUN")


class TensorBoard(Observer):
    """Scalars for TensorBoard at each evaluation, with the spec and the figure.

    The tags are SCORE/mean, SCORE/lowest and SCORE/highest over the networks, the same for loss
    (over those that did not diverge), and MEASURE/LAYER for what probes measure, the mean over the
    networks; layers count from 1. The spec is a text, and its fields are hyperparameters. The steps
    are training points seen. The files are written by TensorBoard's own library, each event at
    once, so that the curves can be watched while the run goes on::

        plastic run --observe tensorboard --out runs/mine
        tensorboard --logdir runs
    """

    spec = ObserverSpec(
        name="tensorboard",
        summary="write the curves for TensorBoard",
        requires={"tensorboard": "pip install 'plastic-learning[tensorboard]'"},
        params=TensorBoardParams,
    )

    def on_plan(self, run: ObservedRun) -> None:
        """Begin an event file, with the spec."""
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        folder = Path(self.params.folder or (run.folder or Path()) / "tensorboard")
        if not self.params.folder and run.folder is None:
            raise PlasticError("the run has no folder; give the observer one, folder=DIR")
        folder.mkdir(parents=True, exist_ok=True)
        # not through torch's SummaryWriter, whose thread cannot tell at once that a disk is full
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.plastic").open("wb")
        self._records = RecordWriter(self._file)
        self._write(0, file_version="brain.Event:2")
        charts = {
            name: ["Margin", [f"{name}/{line}" for line in ("mean", "lowest", "highest")]]
            for name in (run.score, "loss")
        }
        self._write(0, summary=summary.custom_scalars({"over the networks": charts}))
        lines = json.dumps(run.spec, indent=2).splitlines()
        self._write(0, summary=summary.text("spec", "\n".join(f"    {line}" for line in lines)))
        *begun, self._ended = summary.hparams(_flat(run.spec), {f"{run.score}/mean": 0})
        for one in begun:
            self._write(0, summary=one)

    def on_point(self, run: ObservedRun, point: ObservedPoint) -> None:
        """Write the scalars of an evaluation."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        numbers = [*_over_networks(run.score, point.score), *_over_networks("loss", point.loss)]
        for name, measured in point.probes.items():
            numbers += _of_probe(name, measured)
        values = [Summary.Value(tag=tag, simple_value=number) for tag, number in numbers]
        self._write(point.sample, summary=Summary(value=values))

    def on_result(self, run: ObservedRun) -> None:
        """Write the learning curve as the run folder has it, and close the file."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        figure = run.folder and run.folder / "learning_curve.png"
        if figure and figure.exists():
            png = figure.read_bytes()
            width, height = struct.unpack(">II", png[16:24])
            image = Summary.Image(height=height, width=width, encoded_image_string=png)
            values = [Summary.Value(tag="learning_curve", image=image)]
            self._write(run.spec["samples"], summary=Summary(value=values))
        self._write(run.spec["samples"], summary=self._ended)
        self._file.close()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step, **content)
        self._records.write(event.SerializeToString())
        self._file.flush()


def _over_networks(name: str, values: NDArray[np.float64]) -> Iterator[tuple[str, float]]:
    """Yield mean, lowest and highest of the numbers, if there are any."""
    known = values[np.isfinite(values)]
    if known.size:
        yield f"{name}/mean", known.mean()
        yield f"{name}/lowest", known.min()
        yield f"{name}/highest", known.max()


def _of_probe(name: str, values: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
    """Yield each number of a measure, its mean over the networks that have it."""
    if values[0].size > _MOST_NUMBERS:
        return
    for index in np.ndindex(values.shape[1:]):
        numbers = values[(slice(None), *index)]
        known = numbers[np.isfinite(numbers)]
        if known.size:
            yield "/".join([name, *(str(i + 1) for i in index)]), known.mean()


def _flat(spec: Any, name: str = "") -> dict[str, str | float]:
    """Return the fields of a spec by their full names, such as options.layers."""
    if not isinstance(spec, dict):
        plain = isinstance(spec, int | float) and not isinstance(spec, bool)
        return {name: spec if plain else str(spec)}
    found: dict[str, str | float] = {}
    for key, value in spec.items():
        found |= _flat(value, f"{name}.{key}" if name else key)
    return found
