"""The probes of a block: tried once before training, then asked at the evaluation points.

A probe is given copies of the networks' parameters, so that it cannot change what is trained. The
networks of a group are measured together, and groups side by side; but where a probe draws random
numbers, of which threads share torch's, one network after the other is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.api.plugin import Probe
from plastic_core.api.snapshot import Snapshot
from plastic_core.api.specs import RESERVED_VARIABLES, Measure
from plastic_core.base.errors import PlasticError, TrainingError, describe_exception, listing
from plastic_core.base.fault import Fault
from plastic_core.plan.planned_probes import PlannedProbe
from plastic_core.probes.camera import Camera, Film, Judge, own_outputs

if TYPE_CHECKING:
    from plastic_core.results.curves import Curves

Arrays = dict[str, NDArray[np.float32]]

_HOOK: Final = "plastic_measure"


class ProbeFaultError(Exception):
    """A probe did not return what it should; holds the fault."""

    def __init__(self, found: str, accepted: str, example: str) -> None:
        self.fault = Fault(_HOOK, found, accepted, example)
        super().__init__(str(self.fault))


class Probing:
    """Measures the networks of a block.

    Args:
        probes: of the run.
        cameras: of each group of networks.
        evaluate: computes y_0 .. y_L of one network, at the first points of those that are
            evaluated, or at all where None are named.
        judge: gives what one network is judged by.

    Raises:
        PlasticError: a probe raises, or returns what its spec does not say.
    """

    def __init__(
        self,
        probes: Sequence[PlannedProbe],
        cameras: Mapping[range, Camera],
        evaluate: Callable[[int, int | None], Sequence[Tensor]],
        judge: Judge = own_outputs,
    ) -> None:
        self._probes, self._cameras = probes, cameras
        self._evaluate, self._judge = evaluate, judge
        self._one_thread = threading.Lock()
        group, camera = next(iter(cameras.items()))
        self._device = camera.parameters.weights[0].device
        self._sizes = {"layer": camera.circuit.depth, "rule": len(camera.rules)}
        self._shapes: dict[str, tuple[int, ...]] = {}
        with self._own_random_numbers() as begun:
            film = camera.film(2)  # two networks, so that a dimension too few is seen
            seen = evaluate(0, film.points)
            film.add(seen)
            film.add(seen)
            snapshot = self._snapshot(group, [0, 0], film)
            for planned in probes:
                tried = self._ask(planned, snapshot)
                self._shapes |= {name: array.shape[1:] for name, array in tried.items()}
            self._draws = not torch.equal(begun, torch.get_rng_state())
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
        """Measure all groups at one evaluation point in here.

        Raises:
            PlasticError: probes that are asked side by side draw random numbers, so that what they
                measure would depend on the threads.
        """
        before = torch.get_rng_state()
        for camera in self._cameras.values():
            camera.refresh()
        yield
        if not self._draws and not torch.equal(before, torch.get_rng_state()):
            named = listing(f"'{planned.entry.name}'" for planned in self._probes)
            raise PlasticError(
                f"the probes {named}: one of them, or a rule that it looks at, drew random numbers "
                "and had drawn none before training; expected them at every point or at none"
            )

    def film(self, group: range) -> Film:
        """Return room for the activities of a group."""
        return self._cameras[group].film(len(group))

    def measure(
        self, curves: Curves, group: range, point: int, replicas: Sequence[int], film: Film
    ) -> None:
        """Measure replicas of one group at one evaluation point into `curves`.

        All together, but for what draws random numbers, which begin anew for each.

        Args:
            curves: filled in place.
            group: of replicas.
            point: index of the evaluation point.
            replicas: those that are measured.
            film: their activities, in the same order.

        Raises:
            PlasticError: a probe raises, or returns what its spec does not say.
        """
        if self._draws:
            for place, replica in enumerate(replicas):
                with self._own_random_numbers():
                    self._measure(curves, group, point, [replica], film.only(place))
        elif replicas:
            self._measure(curves, group, point, replicas, film)

    def _measure(
        self, curves: Curves, group: range, point: int, replicas: Sequence[int], film: Film
    ) -> None:
        last = point == len(curves.steps) - 1
        snapshot = self._snapshot(group, replicas, film)
        for planned in self._probes:
            every = planned.when == "every"
            if every or last:
                for name, array in self._ask(planned, snapshot).items():
                    room = curves.probes[name]
                    (room[:, point] if every else room)[list(replicas)] = array

    def _snapshot(self, group: range, replicas: Sequence[int], film: Film) -> Snapshot:
        networks = [replica - group.start for replica in replicas]
        return self._cameras[group].take(
            networks,
            film,
            lambda network: self._evaluate(network + group.start, None),
            lambda network, activities: self._judge(network + group.start, activities),
        )

    def _ask(self, planned: PlannedProbe, snapshot: Snapshot) -> Arrays:
        with torch.inference_mode():
            try:
                return ask(planned.probe, snapshot, self._sizes)
            except ProbeFaultError as error:
                raise TrainingError(f"the probe '{planned.entry.name}': {error}") from error

    @contextmanager
    def _own_random_numbers(self) -> Iterator[Tensor]:
        """Let torch's random numbers begin anew, for one thread at a time; give their state."""
        cuda = self._device.type == "cuda"
        with self._one_thread, torch.random.fork_rng([self._device] if cuda else []):
            # torch.manual_seed would look at every kind of device
            torch.default_generator.manual_seed(0)
            if cuda:
                torch.cuda.manual_seed(0)
            yield torch.get_rng_state()


def ask(probe: Probe, snapshot: Snapshot, sizes: dict[str, int]) -> Arrays:
    """Return what a probe measures, ``[R, ...]``; numbers that are not finite become NaN.

    Args:
        probe: an instance, its parameters set.
        snapshot: the networks.
        sizes: of the dimensions; those that are not known yet are added.

    Raises:
        ProbeFaultError: the probe raises, or returns what its spec does not say.
    """
    measures = probe.spec.measures
    example = f'return {{"{next(iter(measures))}": ...}}'
    made: Any = probe
    try:
        result = made.plastic_measure(snapshot)
    except (Exception, SystemExit) as error:
        found = f"raised {describe_exception(error)}"
        raise ProbeFaultError(found, "expected a result for every network", example) from error
    if not isinstance(result, Mapping):
        found = f"returned a value of type {type(result).__name__}"
        raise ProbeFaultError(found, f"expected a dict with {listing(measures)}", example)
    if result.keys() != measures.keys():
        found = f"returned the measures {listing(map(str, result))}"
        raise ProbeFaultError(found, f"expected {listing(measures)}", example)
    networks = len(snapshot.activities[0])
    return {name: _array(name, result[name], measures[name], networks, sizes) for name in measures}


def _array(
    name: str, value: Any, measure: Measure, networks: int, sizes: dict[str, int]
) -> NDArray[np.float32]:
    example = f'"{name}": torch.stack([... for y in n.activities[1:]], 1)'
    try:
        numbers = value.cpu().numpy() if isinstance(value, Tensor) else np.array(value, float)
        array = numbers.astype(np.float32)  # a copy, for a probe may return what is written over
    except (TypeError, ValueError) as error:
        found = f"returned '{name}' as a value of type {type(value).__name__}"
        accepted = f"expected a tensor or an array of numbers ({describe_exception(error)})"
        raise ProbeFaultError(found, accepted, example) from None
    known = array.ndim == 1 + len(measure.dims) and len(array) == networks
    if known:
        for dim, size in zip(measure.dims, array.shape[1:], strict=True):
            known &= sizes.setdefault(dim, size) == size
    if not known:
        found = f"returned '{name}' of shape {list(array.shape)}"
        here = [f"R {networks}", *(f"{dim} {sizes[dim]}" for dim in measure.dims if dim in sizes)]
        accepted = f"expected [{', '.join(('R', *measure.dims))}], here {', '.join(here)}"
        raise ProbeFaultError(found, accepted, example)
    finite = np.isfinite(array)
    if not finite.all():
        array[~finite] = np.nan
    return array
