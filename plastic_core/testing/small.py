"""A small network that learns by one rule alone: what the checks of a rule are made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from plastic_core.api.hookspecs import hookimpl
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import AnyNetwork, NetworkSpec
from plastic_core.api.plugin import Rule, Transform
from plastic_core.api.signals import Signals
from plastic_core.api.specs import RuleSpec, Theta
from plastic_core.api.update import Update, outer
from plastic_core.backends.eager.engine import Engine
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import resolve_hooks
from plastic_core.networks.parameters import Parameters, add_states, add_thetas, initial_parameters

if TYPE_CHECKING:
    from plastic_core.hooks.hooks import Hooks

#: All sizes differ, so that nothing fits by chance.
NETWORK: Final = NetworkSpec(sizes=(6, 5, 4, 3))

#: The same for rules that settle the network, which activity must not leave.
SETTLING: Final = NetworkSpec(sizes=(6, 5, 4, 3), activation="tanh", loss="squared-error")

#: The same with 12 places in its first layer, and 6 in its second.
CONVOLUTION: Final = LayeredSpec(
    inputs=40, net=("conv 4 2x2", "conv 5 2x2"), outputs=3, image=(2, 4, 5)
)


class Carrier(Rule):
    """Carries the error back for rules that read it and do not propagate it; learns nothing."""

    spec = RuleSpec(
        name="carrier",
        summary="carries the error back",
        equation="0",
        reference="of the conformance kit",
        modifies="forward",
        reads={"weight_error"},
        theta=Theta(default=0),
        propagates=True,
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return W' e."""
        return s.weight_error


class Hebbian(Rule):
    """Learns without errors and feedback."""

    spec = RuleSpec(
        name="unsupervised",
        summary="Hebbian",
        equation=r"y_l\, y_{l-1}^\top",
        reference="of the conformance kit",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=0.05),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y x'."""
        return outer(s.post, s.pre)


class SmallNetwork:
    """A network of three weight matrices that learns random points by one rule.

    Args:
        rule: an instance.
        thetas: one for each replica.
        seeds: of the replicas, as many as thetas.
        batch: points in one update.
        dtype: of all tensors.
        transforms: instances, applied to the increments.
        network: its specification; None for one that suits the rule.
    """

    def __init__(
        self,
        rule: Rule,
        thetas: Sequence[float],
        seeds: Sequence[int] = (0,),
        batch: int = 2,
        dtype: torch.dtype = torch.float64,
        transforms: Sequence[Transform] = (),
        network: AnyNetwork | None = None,
    ) -> None:
        network = network or (SETTLING if rule.spec.settle else NETWORK)
        self.circuit = circuit_of(network)
        self.rule, self.seeds, self.dtype = rule, list(seeds), dtype
        own = {
            f"{rule.spec.name}.{name}": torch.full((len(thetas),), theta.default, dtype=dtype)
            for name, theta in rule.spec.thetas.items()
        }
        self.thetas = {rule.spec.name: torch.tensor(list(thetas), dtype=dtype), **own}
        rules: list[Rule] = [rule]
        if rule.spec.reads_error and not rule.spec.propagates:
            rules.append(Carrier())
        everywhere = frozenset(range(self.circuit.depth))
        acting = [(r, everywhere) for r in rules]
        self.hooks: Hooks = resolve_hooks(acting, transforms, dtype, circuit=self.circuit)
        self.parameters = self.initial()
        points = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        inputs, outputs = network.ends
        self.x = torch.stack([_rand(STEPS, batch, inputs, source=s) for s in points], 1)
        labels = [torch.randint(outputs, (STEPS, batch), generator=s) for s in points]
        self.target = torch.eye(outputs, dtype=dtype)[torch.stack(labels, 1)]
        self.x = self.x.to(dtype)

    def initial(self) -> Parameters:
        """Return fresh parameters, as before training."""
        made = initial_parameters(self.circuit, self.seeds, self.hooks.feedback, self.dtype)
        add_states(made, self.hooks)
        add_thetas(made, self.hooks, self.thetas)
        return made

    @cached_property
    def engine(self) -> Engine:
        """The engine that changes `parameters`."""
        return Engine(self.circuit, self.hooks, self.thetas, self.parameters)

    def train(self, steps: int) -> dict[str, Tensor]:
        """Train on the first points and return all that may have changed, by name."""
        torch.manual_seed(0)  # rules may draw torch's numbers
        with torch.no_grad():
            for step in range(steps):
                self.engine.step(self.x[step], self.target[step])
        return self.parameters.named()


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    """Return where tensors differ by more than rounding, relative to the largest number of each."""
    for name, value in one.items():
        off = (value - other[name]).abs().max().item()
        if not off <= _TOLERANCE * max(1e-3, value.abs().max().item()):
            return f"{name}: off by {off:.2g}"
    return ""


_TOLERANCE: Final = 1e-9

#: Points that each replica has.
STEPS: Final = 20


def theta_of(rule: type[Rule], network: AnyNetwork | None = None) -> float:
    """Return a theta of the rule at which it learns visibly on a small network."""
    if rule.spec.thetas:
        return 0.05  # of all of it
    theta = rule.spec.theta_of()
    # the increments of all places are summed
    visible = 0.004 if network is CONVOLUTION else 0.05
    return next(
        value
        for value in (visible, theta.max, theta.min, theta.default)
        if (value and theta.contains(value)) or value == theta.default
    )


def _rand(*shape: int, source: torch.Generator) -> Tensor:
    return torch.rand(*shape, generator=source, dtype=torch.float64)
