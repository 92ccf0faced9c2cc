"""The probes of a block: tried once before training, then asked at the evaluation points.

A probe is given copies of one network's parameters, so that it cannot change what is trained, and
torch's random numbers are put back after it. Networks of different groups are measured side by
side, unless a probe draws random numbers: threads share torch's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.build import Hooks
from plastic_core.errors import PlasticError, describe_exception, listing
from plastic_core.faults import Fault
from plastic_core.learning import Learner, Look, LookAtOne, learns_by_factors
from plastic_core.network_specs import AnyNetwork, RecurrentSpec
from plastic_core.networks.recurrent import Recurrent
from plastic_core.parameters import Parameters
from plastic_core.plan import PlannedProbe
from plastic_core.plugins import Probe
from plastic_core.probe_specs import RESERVED_VARIABLES, Measure
from plastic_core.products import aligned_zeros
from plastic_core.snapshot import Snapshot

if TYPE_CHECKING:
    from plastic_core.trainer import Curves

Arrays = dict[str, NDArray[np.float32]]

# Probe points of which learning is looked at: what a rule does with a point costs more than the
# point's activity does.
_LEARNING_POINTS: Final = 10

_HOOK: Final = "plastic_measure"


class ProbeFaultError(Exception):
    """A probe did not return what it should; holds the fault."""

    def __init__(self, found: str, accepted: str, example: str) -> None:
        self.fault = Fault(_HOOK, found, accepted, example)
        super().__init__(str(self.fault))


class Camera:
    """Takes snapshots of the networks of a group, one after the other.

    Args:
        network: the network.
        hooks: the resolved hooks.
        parameters: of the group's replicas; read, never written.
        thetas: by rule, ``[R]``.
        targets: ``[M, n_L]``, one-hot, of all points that are evaluated.
        points: number of probe points, the first of those.
    """

    def __init__(
        self,
        network: AnyNetwork,
        hooks: Hooks,
        parameters: Parameters,
        thetas: Mapping[str, Tensor],
        targets: Tensor,
        points: int,
    ) -> None:
        self.network, self.rules = network, tuple(thetas)
        self._hooks, self._parameters = hooks, parameters
        self._thetas = dict(thetas)
        self.targets = targets[:points]
        self._copy = Parameters(
            [_room(w) for w in parameters.weights],
            [_room(b) for b in parameters.feedback],
            {name: _room(value) for name, value in parameters.state.items()},
        )
        self._learner: Learner | None = None
        self._look_at_all: Look | None = None
        self._recurrent: Recurrent | None = None
        if isinstance(network, RecurrentSpec):
            self._recurrent = Recurrent(network, hooks, self._copy)

    def refresh(self) -> None:
        """Look anew at all networks: they have changed since the last snapshot."""
        self._look_at_all = None

    def take(self, replica: int, evaluated: Sequence[Tensor]) -> Snapshot:
        """Return a snapshot of one replica.

        Args:
            replica: its index in the group.
            evaluated: y_0 .. y_L, ``[M, n_l]``.
        """
        for copy, original in zip(
            self._copy.named().values(), self._parameters.named().values(), strict=True
        ):
            copy[0].copy_(original[replica])
        kind: Any = self._hooks.feedback
        states, hidden = self._trajectory(evaluated[0])
        return Snapshot(
            network=self.network,
            rules=self.rules,
            activities=[y[: len(self.targets)] for y in evaluated],
            evaluated=evaluated,
            states=states,
            hidden=hidden,
            targets=self.targets,
            weights=[w[0] for w in self._copy.weights],
            feedback=[b[0] for b in self._copy.feedback],
            feedback_kind=kind,
            learn=lambda: self._learning(replica, evaluated[0]),
        )

    def _trajectory(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        if self._recurrent is None:
            return [], []
        x = inputs[: len(self.targets)].unsqueeze(0)
        states, hidden = self._recurrent.trajectory(x, 0)
        return [z[0] for z in states], [y[0] for y in hidden]

    def _learning(self, replica: int, inputs: Tensor) -> LookAtOne:
        """Return what a replica would learn; where it costs no more memory, all are looked at."""
        if isinstance(self.network, RecurrentSpec):
            raise TypeError("errors and increments are looked at in feed-forward networks alone")
        if self._learner is None:
            together = learns_by_factors(self._hooks, self.targets.dtype)
            few = min(_LEARNING_POINTS, len(self.targets))
            x, target = inputs[:few], self.targets[:few]
            parameters = self._parameters if together else self._copy
            self._learner = Learner(
                self.network, self._hooks, parameters, x, target, matrices=not together
            )
        if self._learner.matrices:
            own = {name: theta[replica : replica + 1] for name, theta in self._thetas.items()}
            return self._learner.look(own).of(0)
        if self._look_at_all is None:
            self._look_at_all = self._learner.look(self._thetas)
        return self._look_at_all.of(replica)


class Probing:
    """Measures the replicas of a block.

    Args:
        probes: of the run.
        cameras: of each group of replicas.
        evaluate: computes y_0 .. y_L of replica 0, with which each probe is tried.
        side_by_side: measure replicas of different groups at once, if no probe draws random
            numbers.

    Raises:
        PlasticError: a probe raises, or returns what its spec does not say.
    """

    def __init__(
        self,
        probes: Sequence[PlannedProbe],
        cameras: Mapping[range, Camera],
        evaluate: Callable[[], Sequence[Tensor]],
        side_by_side: bool,
    ) -> None:
        self._probes, self._cameras = probes, cameras
        self._one = threading.Lock()
        first = next(iter(cameras.values()))
        self._device = first.targets.device
        self._sizes = {"layer": first.network.depth, "rule": len(first.rules)}
        with self._own_random_numbers() as begun:
            tried = self._measured(first, 0, evaluate(), probes)
            self._side_by_side = side_by_side and torch.equal(begun, torch.get_rng_state())
        self._shapes = {name: array.shape for name, array in tried.items()}
        variables = {*self._shapes, *RESERVED_VARIABLES} - {"layer", "rule"}
        for name in self._sizes.keys() & variables:
            raise PlasticError(
                f"'{name}' is a dimension of one probe and a variable of the result; rename one"
            )

    def empty(self, replicas: int, points: int) -> Arrays:
        """Return room for what will be measured, NaN until then.

        ``[R, points, ...]``, or ``[R, ...]`` for what is measured at the last point alone.
        """
        arrays: Arrays = {}
        for planned in self._probes:
            over = (replicas, points) if planned.when == "every" else (replicas,)
            for name in planned.probe.spec.measures:
                arrays[name] = np.full((*over, *self._shapes[name]), np.nan, np.float32)
        return arrays

    @contextmanager
    def at_point(self) -> Iterator[None]:
        """Measure all replicas at one evaluation point in here.

        Raises:
            PlasticError: probes that are asked side by side draw random numbers, so that what they
                measure would depend on the threads.
        """
        before = torch.get_rng_state()
        for camera in self._cameras.values():
            camera.refresh()
        yield
        if self._side_by_side and not torch.equal(before, torch.get_rng_state()):
            named = listing(f"'{planned.entry.name}'" for planned in self._probes)
            raise PlasticError(
                f"the probes {named}: one of them, or a rule that it looks at, drew random numbers "
                "and had drawn none before training; expected them at every point or at none, or "
                "one network at a time (--threads 1)"
            )

    def measure(
        self, curves: Curves, group: range, replica: int, point: int, evaluated: Sequence[Tensor]
    ) -> None:
        """Measure one replica of a group at one evaluation point into `curves`.

        Raises:
            PlasticError: a probe raises, or returns what its spec does not say.
        """
        last = point == len(curves.steps) - 1
        chosen = [planned for planned in self._probes if last or planned.when == "every"]
        every = {n for p in chosen if p.when == "every" for n in p.probe.spec.measures}
        with nullcontext() if self._side_by_side else self._own_random_numbers():
            camera = self._cameras[group]
            measured = self._measured(camera, replica - group.start, evaluated, chosen)
        for name, array in measured.items():
            curves.probes[name][(replica, point) if name in every else replica] = array

    def _measured(
        self,
        camera: Camera,
        replica: int,
        evaluated: Sequence[Tensor],
        probes: Sequence[PlannedProbe],
    ) -> Arrays:
        arrays: Arrays = {}
        with torch.inference_mode():
            snapshot = camera.take(replica, evaluated)
            for planned in probes:
                try:
                    arrays |= ask(planned.probe, snapshot, self._sizes)
                except ProbeFaultError as error:
                    raise PlasticError(f"the probe '{planned.entry.name}': {error}") from error
        return arrays

    @contextmanager
    def _own_random_numbers(self) -> Iterator[Tensor]:
        """Let torch's random numbers begin anew, for one thread at a time; give their state."""
        cuda = self._device.type == "cuda"
        with self._one, torch.random.fork_rng([self._device] if cuda else []):
            # torch.manual_seed would look at every kind of device
            torch.default_generator.manual_seed(0)
            if cuda:
                torch.cuda.manual_seed(0)
            yield torch.get_rng_state()


def ask(probe: Probe, snapshot: Snapshot, sizes: dict[str, int]) -> Arrays:
    """Return what a probe measures; numbers that are not finite become NaN.

    Args:
        probe: an instance, its parameters set.
        snapshot: the network.
        sizes: of the dimensions; those that are not known yet are added.

    Raises:
        ProbeFaultError: the probe raises, or returns what its spec does not say.
    """
    measures = probe.spec.measures
    example = f'return {{"{next(iter(measures))}": ...}}'
    made: Any = probe
    try:
        result = made.plastic_measure(snapshot)
    except Exception as error:
        found = f"raised {describe_exception(error)}"
        raise ProbeFaultError(found, "expected a result for every network", example) from error
    if not isinstance(result, Mapping):
        found = f"returned a value of type {type(result).__name__}"
        raise ProbeFaultError(found, f"expected a dict with {listing(measures)}", example)
    if result.keys() != measures.keys():
        found = f"returned the measures {listing(map(str, result))}"
        raise ProbeFaultError(found, f"expected {listing(measures)}", example)
    return {name: _array(name, result[name], measures[name], sizes) for name in measures}


def _array(name: str, value: Any, measure: Measure, sizes: dict[str, int]) -> NDArray[np.float32]:
    example = f'"{name}": torch.stack([... for y in n.activities[1:]])'
    try:
        numbers = value.cpu().numpy() if isinstance(value, Tensor) else np.array(value, float)
        array = numbers.astype(np.float32)  # a copy, for a probe may return what is written over
    except (TypeError, ValueError) as error:
        found = f"returned '{name}' as a value of type {type(value).__name__}"
        accepted = f"expected a tensor or an array of numbers ({describe_exception(error)})"
        raise ProbeFaultError(found, accepted, example) from None
    named = f"[{', '.join(measure.dims)}]"
    known = array.ndim == len(measure.dims)
    if known:
        for dim, size in zip(measure.dims, array.shape, strict=True):
            known &= sizes.setdefault(dim, size) == size
    if not known:
        here = ", ".join(f"{dim} {sizes[dim]}" for dim in measure.dims if dim in sizes)
        found = f"returned '{name}' of shape {list(array.shape)}"
        accepted = f"expected {named}" + (f", here {here}" if here else "")
        raise ProbeFaultError(found, accepted, example)
    finite = np.isfinite(array)
    if not finite.all():
        array[~finite] = np.nan
    return array


def _room(tensor: Tensor) -> Tensor:
    """Return room for one replica of a tensor of parameters."""
    return aligned_zeros(1, *tensor.shape[1:], like=tensor)
