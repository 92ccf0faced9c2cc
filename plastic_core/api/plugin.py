"""The base classes of plugins: rules, transforms, probes and tasks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.rule_facts import facts_of
from plastic_core.api.specs import ProbeSpec, RuleSpec, TaskSpec, TransformSpec
from plastic_core.base.files import expanded
from plastic_core.base.html import element, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Options = TypeVar("Options", bound=BaseModel)


class Rule:
    """Base of plasticity rules: a `spec`, and one method for each hook that it takes part in.

    A rule is made without arguments, reads its parameters from ``self.params`` and never sees
    its theta: the engine scales what it returns, unless it has several. The hooks, marked with
    ``@hookimpl``, are `plastic_forward`, `plastic_input`, `plastic_settle`,
    `plastic_propagate_error` and `plastic_local_update`.
    """

    spec: ClassVar[RuleSpec]

    def __init__(self) -> None:
        self.params: Any = self.spec.params() if self.spec.params else None

    def _repr_html_(self) -> str:
        """Return equation, parameters, hooks and source, for notebooks."""
        rows = [*facts_of(self.spec), *(self.params or ())]
        rows.append(("hooks", ", ".join(one for one in dir(self) if one.startswith("plastic_"))))
        title = element("p", f"{self.spec.name}: {self.spec.summary}")
        return title + element("p", f"$\\displaystyle {self.spec.equation}$") + table((), rows)


class Transform:
    """Base of transforms, which change the summed increment of a matrix before it is added.

    Its hook, marked with ``@hookimpl``, is `plastic_transform_update`.
    """

    spec: ClassVar[TransformSpec]

    def __init__(self) -> None:
        self.params: Any = self.spec.params() if self.spec.params else None


class Probe:
    """Base of probes, which measure networks at the evaluation points and change nothing.

    Its hook, marked with ``@hookimpl``, is `plastic_measure`.
    """

    spec: ClassVar[ProbeSpec]

    def __init__(self) -> None:
        self.params: Any = self.spec.params() if self.spec.params else None


@dataclass(frozen=True)
class Dataset:
    """Points with the classes or the numbers to be predicted, to train on and to hold out.

    Attributes:
        inputs: ``[N, n]`` float32, the training points.
        labels: ``[N]`` int64 in 0..classes-1; or for regression ``[N, m]`` float32, the numbers.
            Where there is something to answer at each of T steps, ``[N, T]`` or ``[N, T, m]``; the
            inputs of a point are then those of its steps, one after the other.
        held_out_inputs: ``[M, n]`` float32. The core permutes them once with a fixed seed; one
            half is for choosing theta, the other for reporting.
        held_out_labels: of the same kind, for M points.
        classes: number of classes; 0 for regression.
        names: of the classes, in order; nothing where they are called 0..classes-1.
        shape: of one point, (H, W) or (C, H, W), where it is an image; its n inputs are its pixels
            by channel, row and column.
        parts: names of what the points are divided into, such as tasks that are learned one after
            the other; nothing where they are not. A stage of a run learns ``on`` some of them.
        part: ``[N]`` int64 in 0..parts-1, which part each training point is of.
        held_out_part: ``[M]``, which each held-out point is of.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64] | NDArray[np.float32]
    held_out_inputs: NDArray[np.float32]
    held_out_labels: NDArray[np.int64] | NDArray[np.float32]
    classes: int = 0
    names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()
    part: NDArray[np.int64] | None = None
    held_out_part: NDArray[np.int64] | None = None

    @property
    def outputs(self) -> int:
        """How many outputs a network needs, one for each class or for each number of a point."""
        return self.classes or int(self.labels.shape[-1])

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, in order; nothing for regression."""
        return self.names or tuple(map(str, range(self.classes)))

    @property
    def steps(self) -> int:
        """Steps of a sequence, each with something to answer; 0 where there is one answer."""
        return int(self.labels.shape[1]) if self.labels.ndim == 3 - bool(self.classes) else 0


class DataDir(os.PathLike[str]):
    """The data folder; where several are set, the first is the one to write to.

    Attributes:
        folders: all of them, in order of search.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = tuple(expanded(folder) for folder in folders)

    def __fspath__(self) -> str:
        return str(self.folders[0])

    def __str__(self) -> str:
        return os.pathsep.join(map(str, self.folders))

    def holding(self, *files: str) -> Path | None:
        """Return the first folder that holds all of `files` (relative paths), or None."""
        for folder in self.folders:
            if all((folder / file).is_file() for file in files):
                return folder
        return None


class Task(ABC, Generic[Options]):
    """Base of tasks: a `spec`, the data, and the network that learns them.

    Written ``Task[MyOptions]``, it says what its options are, for a type checker.
    """

    spec: ClassVar[TaskSpec]

    @abstractmethod
    def load(self, data_dir: DataDir, options: Options) -> Dataset:
        """Return the data, read from `data_dir` or downloaded into it.

        Raises:
            DataError: there are no data; says where they were looked for and what to do.
        """

    @abstractmethod
    def network(self, options: Options) -> AnyNetwork:
        """Return the network for these options."""
