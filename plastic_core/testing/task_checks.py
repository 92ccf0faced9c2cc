"""What every task must keep to: each check returns the faults that it found."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final
from unittest import mock

import numpy as np
import torch

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.plugin import DataDir, Dataset, Task
from plastic_core.backends.eager.engine import Engine
from plastic_core.base.errors import DataError, PlasticError, describe_exception
from plastic_core.base.fault import Fault
from plastic_core.hooks.hooks import resolve_hooks
from plastic_core.networks.parameters import initial_parameters
from plastic_core.plugins.params import build_model
from plastic_core.training.datasets import check_dataset, check_fit, data_folders, training_order

_DATASET: Final = "return Dataset(inputs, labels, held_out_inputs, held_out_labels, classes=10)"
_NETWORK: Final = "return options.network_for(64, 10)"

# A few points may stand in both halves of real data by chance.
_MOST_SHARED: Final = 0.01


class TriedTask:
    """A task with its options, its data loaded once.

    Args:
        task: the class.
        options: values of its options; the others keep their defaults.
        data_dir: data folder in place of the user's.
    """

    def __init__(
        self, task: type[Task[Any]], options: Mapping[str, Any] | None = None, data_dir: Any = None
    ) -> None:
        self.task = task()
        self.options = build_model(task.spec.options, options or {}, "options")
        self.data_dir: DataDir = data_folders(data_dir)

    @cached_property
    def data(self) -> Dataset:
        """The data, as `load` gives them."""
        return self.load()

    def load(self) -> Dataset:
        """Load the data.

        Raises:
            DataError: there are none.
        """
        return self.task.load(self.data_dir, self.options)

    def network(self) -> AnyNetwork:
        """Return the network."""
        return self.task.network(self.options)


Check = Callable[[TriedTask], list[Fault]]


def check_data(tried: TriedTask) -> list[Fault]:
    """`load` returns a Dataset of the shapes, types and ranges that the core expects."""
    try:
        data = tried.data
    except DataError:
        raise
    except Exception as error:
        return [
            Fault("load", f"raised {describe_exception(error)}", "expected a Dataset", _DATASET)
        ]
    if not isinstance(data, Dataset):
        return [Fault("load", f"returned {data!r}", "expected a Dataset", _DATASET)]
    faults = []
    labels = np.int64 if data.classes else np.float32
    for field, dtype in (("inputs", np.float32), ("labels", labels)):
        for name in (field, f"held_out_{field}"):
            found = getattr(data, name)
            if getattr(found, "dtype", None) != dtype:
                kind = getattr(found, "dtype", type(found).__name__)
                accepted = f"expected a NumPy array of type {np.dtype(dtype)}"
                example = f"{name} = np.asarray({name}, dtype=np.{np.dtype(dtype)})"
                faults.append(Fault("load", f"gives {name} of type {kind}", accepted, example))
    if not faults:
        with _as_faults(faults, "load", _DATASET):
            check_dataset(data, "the data")
    return faults


def check_network(tried: TriedTask) -> list[Fault]:
    """`network` returns a NetworkSpec that fits the data."""
    try:
        network = tried.network()
    except Exception as error:
        found = f"raised {describe_exception(error)}"
        return [Fault("network", found, "expected a NetworkSpec", _NETWORK)]
    if not isinstance(network, AnyNetwork):
        return [Fault("network", f"returned {network!r}", "expected a NetworkSpec", _NETWORK)]
    faults: list[Fault] = []
    with _as_faults(faults, "network", _NETWORK):
        check_fit(network, tried.data, "the data")
    return faults


def check_splits(tried: TriedTask) -> list[Fault]:
    """Training points and held-out points are different points."""
    data = tried.data
    seen = {row.tobytes() for row in np.ascontiguousarray(data.inputs)}
    rows = np.ascontiguousarray(data.held_out_inputs)
    shared = sum(row.tobytes() in seen for row in rows)
    if shared > _MOST_SHARED * len(rows):
        return [
            Fault(
                "load",
                f"gives {shared} of {len(rows)} held-out points that are training points too",
                "expected two parts that share no point",
                "return Dataset(x[:800], y[:800], x[800:], y[800:], classes=2)",
            )
        ]
    return []


def check_order(tried: TriedTask) -> list[Fault]:
    """The seed alone decides the order: the data are the same at each load, and many enough."""
    again, data = tried.load(), tried.data
    for name in ("inputs", "labels", "held_out_inputs", "held_out_labels"):
        if not np.array_equal(getattr(data, name), getattr(again, name)):
            found = f"gives other {name} each time"
            accepted = (
                "expected the same data each time: draw them with a fixed seed, and leave the "
                "order of the training points to the seeds of the run"
            )
            return [Fault("load", found, accepted, "source = np.random.default_rng(0)")]
    points = len(data.labels)
    orders = [training_order(seed, points, points).tolist() for seed in range(4)]
    if all(order == orders[0] for order in orders):
        found = f"gives {points} training points, so that all seeds have the same order"
        return [Fault("load", found, "expected more training points", _DATASET)]
    return []


def check_offline(tried: TriedTask) -> list[Fault]:
    """Where the data are there, `load` needs no network."""
    assert tried.data is not None  # they are there from now on
    try:
        with _no_network():
            tried.load()
    except Exception as error:
        return [
            Fault(
                "load",
                f"needs the network though the data are there: {describe_exception(error)}",
                "read the data from data_dir where they are, and download only else",
                'folder = data_dir.holding("my-task.npz")',
            )
        ]
    return []


def check_training(tried: TriedTask) -> list[Fault]:
    """The network takes the data: one forward pass, finite, and the classes of the data."""
    network, data = tried.network(), tried.data
    engine = Engine(network, resolve_hooks([]), {}, initial_parameters(network, [0]))
    outputs = engine.activities(torch.from_numpy(data.inputs[None, :10]), 0)[-1]
    if not bool(outputs.isfinite().all()):
        found = "gives inputs for which the untrained network has no finite output"
        return [Fault("load", found, "expected inputs between 0 and 1", "inputs = inputs / 255")]
    return []


#: In the order in which they are run; where one of the first two finds something, the others
#: cannot run.
TASK_CHECKS: Final[tuple[Check, ...]] = (
    check_data,
    check_network,
    check_splits,
    check_order,
    check_offline,
    check_training,
)


@contextlib.contextmanager
def _as_faults(faults: list[Fault], place: str, example: str) -> Iterator[None]:
    try:
        yield
    except PlasticError as error:
        found, _, accepted = str(error).partition("; ")
        faults.append(Fault(place, f"gives what does not fit: {found}", accepted, example))


@contextlib.contextmanager
def _no_network() -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("the network is not to be used")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
    ):
        yield
