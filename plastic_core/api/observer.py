"""The base class of observers, which see a run while it is computed, and change nothing of it.

This module loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from plastic_core.api.specs import API_VERSION, Name, Text
from plastic_core.base.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ObserverSpec(Spec):
    """What an observer is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        requires: the modules that its methods import, with how each is installed; where one is
            missing, the run does not begin. Imported in the methods, they are no need of whoever
            does not use the observer.
        params: a pydantic model class of parameters, all with defaults; ``--set
            NAME.FIELD=VALUE`` sets them, ``self.params`` holds them.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    requires: dict[str, Text] = Field({})
    params: type[BaseModel] | None = None
    api: int = API_VERSION


@dataclass(frozen=True)
class ObservedRun:
    """A run, as an observer is told of it; plain values, and copies.

    Attributes:
        folder: of the run; None where nothing is written.
        label: the rule and the transforms, as the run is called in tables and figures.
        spec: all fields of its spec, with every theta written out.
        score: name of the score, such as accuracy.
        seeds: of its networks, in the order of all that is measured.
        result: None until the run is finished; then what run.json holds as its result, with the
            mean ``["score"]["mean"]`` and the ``["notes"]``.
    """

    folder: Path | None
    label: str
    spec: Mapping[str, Any]
    score: str
    seeds: tuple[int, ...]
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ObservedPoint:
    """What was measured at one evaluation of R networks; copies.

    Attributes:
        sample: training points that each network has seen.
        score: ``[R]``, chance level where a network diverged.
        loss: ``[R]``, NaN where a network diverged.
        probes: by name of the measure, ``[R, ...]``, what was measured at this point.
    """

    sample: int
    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    probes: Mapping[str, NDArray[np.float32]]


class Observer:
    """Base of observers: a `spec`, and at least one of three methods, called in this order.

    Nothing that an observer does changes a number: it is given copies. One that raises is switched
    off for the rest of the run, which goes on. It runs in the process of the run, between
    evaluations, so that one that waits lets the run wait.

    Args:
        params: values of its parameters, by name.
    """

    spec: ClassVar[ObserverSpec]

    def __init__(self, **params: Any) -> None:
        self.params: Any = self.spec.params(**params) if self.spec.params else None

    def on_plan(self, run: ObservedRun) -> None:
        """See the run before it is trained, or goes on."""

    def on_point(self, run: ObservedRun, point: ObservedPoint) -> None:
        """See what was measured at an evaluation; in a run that goes on, at those that follow."""

    def on_result(self, run: ObservedRun) -> None:
        """See the finished run, when all its files are written."""
