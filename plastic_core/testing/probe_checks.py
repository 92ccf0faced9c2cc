"""What every probe must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from plastic_core.api.hookspecs import hookimpl
from plastic_core.api.network_spec import AnyNetwork, NetworkSpec, RecurrentSpec
from plastic_core.api.plugin import Probe, Rule
from plastic_core.api.signals import Signals
from plastic_core.api.snapshot import Snapshot
from plastic_core.api.specs import RuleSpec, Theta
from plastic_core.api.update import Update, outer
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.fault import Fault
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import resolve_hooks
from plastic_core.networks.parameters import add_states, initial_parameters
from plastic_core.probes.camera import Camera
from plastic_core.probes.probing import Arrays, ProbeFaultError, ask
from plastic_core.testing.small import Hebbian

Check = Callable[[type[Probe]], list[Fault]]

_PLACE: Final = "plastic_measure"

# All points that are evaluated, and the first of them, on which probes measure.
_EVALUATED, _POINTS = 20, 12


class _Aligning(Rule):
    """Has all that a probe may look at: errors, and a B for each layer."""

    spec = RuleSpec(
        name="aligning",
        summary="carries the error back through B",
        equation=r"-e_l\, y_{l-1}^\top",
        reference="of the conformance kit",
        modifies="forward",
        reads={"error", "pre", "feedback_error"},
        theta=Theta(default=0.05),
        propagates=True,
        feedback="layer",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return B e."""
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e x'."""
        return -outer(s.error, s.pre)


class Studio:
    """Two small untrained networks, and snapshots of them.

    Args:
        rule: an instance.
        network: their sizes; they all differ, so that nothing fits by chance.
        dtype: of all tensors.
    """

    def __init__(self, rule: Rule, network: AnyNetwork, dtype: torch.dtype = torch.float32) -> None:
        circuit, (inputs, outputs) = circuit_of(network), network.ends
        depth = circuit.depth
        hooks = resolve_hooks([(rule, frozenset(range(depth)))], dtype=dtype, circuit=circuit)
        self.parameters = initial_parameters(network, [0, 1], hooks.feedback, dtype)
        add_states(self.parameters, hooks)
        source = torch.Generator().manual_seed(0)
        x = torch.rand(1, _EVALUATED, inputs, generator=source, dtype=torch.float64)
        labels = torch.randint(outputs, (_EVALUATED,), generator=source)
        targets = torch.eye(outputs, dtype=dtype)[labels]
        thetas = {rule.spec.name: torch.tensor([0.05, 0.02], dtype=dtype)}
        self._camera = Camera(network, hooks, self.parameters, thetas, targets, _POINTS)
        seen = Evaluation(network, hooks, self.parameters)
        self._activities = [
            [y[0] for y in seen.activities(x.to(dtype), replica)] for replica in (0, 1)
        ]
        self.sizes = {"layer": depth, "rule": 1}

    def snapshot(self, networks: Sequence[int] = (0, 1)) -> Snapshot:
        """Return a new snapshot of some of the two networks."""
        self._camera.refresh()
        film = self._camera.film(len(networks))
        for network in networks:
            film.add(self._activities[network])
        return self._camera.take(networks, film, lambda network: self._activities[network])


_RECURRENT: Final = RecurrentSpec(inputs=6, hidden=5, classes=3, present=2, steps=4)


def _full(probe: type[Probe]) -> Studio:
    """Return networks of a kind that the probe measures, with errors and feedback."""
    feedforward = "feedforward" in probe.spec.networks
    return Studio(_Aligning(), NetworkSpec(sizes=(6, 5, 4, 3)) if feedforward else _RECURRENT)


def _studios(probe: type[Probe]) -> Iterator[Studio]:
    yield _full(probe)
    if "feedforward" in probe.spec.networks:
        network = NetworkSpec(sizes=(7, 5, 5, 3), residual=True)
        yield Studio(Hebbian(), network, torch.float64)
    if "recurrent" in probe.spec.networks:
        yield Studio(Hebbian(), _RECURRENT, torch.float64)


def check_measures(probe: type[Probe]) -> list[Fault]:
    """The measures of the spec in their shapes, for networks with and without what it looks at."""
    for studio in _studios(probe):
        try:
            ask(probe(), studio.snapshot(), studio.sizes)
        except ProbeFaultError as error:
            return [error.fault]
    return []


def check_something(probe: type[Probe]) -> list[Fault]:
    """Each measure has a number where the network has errors and feedback."""
    return [
        Fault(
            _PLACE,
            f"returned '{name}' without one finite number",
            "expected numbers, and NaN only where there is nothing to measure",
            f'"{name}": torch.stack([y.mean((1, 2)) for y in n.activities[1:]], 1)',
        )
        for name, array in _asked(probe(), _full(probe)).items()
        if np.isnan(array).all()
    ]


def check_purity(probe: type[Probe]) -> list[Fault]:
    """Nothing that the probe is given is modified."""
    snapshot = _full(probe).snapshot()
    given = {
        "activities": [*snapshot.activities, *snapshot.evaluated],
        "weights": snapshot.weights,
        "feedback": snapshot.feedback,
        "states": snapshot.states,
        "hidden": snapshot.hidden,
        "targets": [snapshot.targets],
    }
    if "feedforward" in probe.spec.networks:
        given["errors"] = [e for e in snapshot.errors if e is not None]
        given["gradients"] = snapshot.gradients
    before = {name: [t.clone() for t in tensors] for name, tensors in given.items()}
    ask(probe(), snapshot, _full(probe).sizes)
    return [
        Fault(
            _PLACE,
            f"modifies n.{name} in place",
            "compute new tensors, for other probes see the same ones",
            "products = w @ w.mT  # and not w.mul_(2)",
        )
        for name, tensors in given.items()
        if not all(map(torch.equal, tensors, before[name]))
    ]


def check_deterministic(probe: type[Probe]) -> list[Fault]:
    """The same networks give the same numbers, whatever the probe has seen before."""
    studio, made = _full(probe), probe()
    first = _asked(made, studio)
    _asked(made, studio, (1,))
    for found in (_asked(made, studio), _asked(probe(), studio)):
        for name, array in found.items():
            if not np.array_equal(array, first[name], equal_nan=True):
                return [
                    Fault(
                        _PLACE,
                        f"gives other numbers for the same network a second time, in '{name}'",
                        "compute from the snapshot and the parameters alone, and keep nothing",
                        "PCA(random_state=0)",
                    )
                ]
    return []


def check_each(probe: type[Probe]) -> list[Fault]:
    """A network gives the same numbers alone and beside another."""
    studio = _full(probe)
    together = _asked(probe(), studio)
    for network in (0, 1):
        for name, array in _asked(probe(), studio, (network,)).items():
            if not np.allclose(array[0], together[name][network], rtol=1e-4, equal_nan=True):
                return [
                    Fault(
                        _PLACE,
                        f"gives other numbers for a network alone than beside another, in '{name}'",
                        "measure each network by itself: R, the first dimension, counts them",
                        "y.mean((1, 2))  # [R], and not y.mean()",
                    )
                ]
    return []


#: In the order in which they are run; where the first finds something, the others cannot run.
PROBE_CHECKS: Final[tuple[Check, ...]] = (
    check_measures,
    check_something,
    check_purity,
    check_deterministic,
    check_each,
)


def _asked(probe: Probe, studio: Studio, networks: Sequence[int] = (0, 1)) -> Arrays:
    return ask(probe, studio.snapshot(networks), studio.sizes)
