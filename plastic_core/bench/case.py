"""What is measured: two networks of the paper, their data and their initial weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.network_spec import AnyNetwork, NetworkOptions
from plastic_core.backends.backend import Backend
from plastic_core.backends.compiled.compiled_backend import CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.hooks.hooks import Hooks, resolve_hooks
from plastic_core.networks.parameters import Parameters, add_states, initial_parameters
from plastic_core.plan.plan import make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue

BP: Final = 0.0046
OJA: Final = 1e-4
RULE: Final = f"{OJA}*oja + {BP}*bp"
#: The whole of Equation 9.
EQUATION_9: Final = "fa+hebbian-error+oja+weight-decay+b-update+b-decay"

#: Training points that are drawn from.
POINTS: Final = 1000

_BACKENDS: Final[dict[str, Any]] = {
    "eager": EagerBackend,
    "compiled": CompiledBackend,
    "native": NativeBackend,
}


@dataclass(frozen=True)
class Case:
    """A rule on a network of `depth` layers, in `replicas` copies.

    Attributes:
        inputs: ``[POINTS, 784]``.
        labels: ``[POINTS]``.
    """

    rule: str
    depth: int
    replicas: int
    inputs: Tensor
    labels: Tensor

    @classmethod
    def make(cls, rule: str, depth: int, replicas: int) -> Case:
        """Return a case with random data, the same at each call."""
        source = torch.Generator().manual_seed(0)
        inputs = torch.rand(POINTS, 784, generator=source)
        return cls(rule, depth, replicas, inputs, torch.randint(0, 10, (POINTS,), generator=source))

    @property
    def network(self) -> AnyNetwork:
        """The network: 784-170-130-100-70-10, or the one of ten layers."""
        return NetworkOptions(layers=self.depth).network_for(784, 10)

    @property
    def targets(self) -> Tensor:
        """One-hot, ``[POINTS, 10]``."""
        return torch.eye(10)[self.labels]

    def weights(self) -> list[Tensor]:
        """Return the initial weights of the first replica."""
        return [w[0].clone() for w in initial_parameters(self.network, [0]).weights]

    @property
    def flop(self) -> int | None:
        """Operations of an update of `RULE`, 2 for each product that is added; else None.

        Each weight is multiplied going forward, for Oja's reconstruction, and twice for its
        increment, and but in the first layer for the error that goes back.
        """
        if self.rule != RULE:
            return None
        first, *others = (w.numel() for w in self.weights())
        return 2 * (4 * first + 5 * sum(others))

    @property
    def bytes_read(self) -> int:
        """Bytes of all weights, read once going forward and once going back."""
        return 2 * 4 * sum(w.numel() for w in self.weights())

    def order(self, updates: int) -> Tensor:
        """Return the points of each replica, ``[R, updates]``."""
        source = torch.Generator().manual_seed(1)
        return torch.randint(0, POINTS, (self.replicas, updates), generator=source)

    def backend(self, name: str, **more: object) -> tuple[Backend, Parameters]:
        """Return a backend ready to train, and what it trains."""
        hooks, thetas = self.resolved()
        seeds = range(self.replicas)
        parameters = initial_parameters(self.network, seeds, hooks.feedback)
        add_states(parameters, hooks)
        columns = {rule: torch.full((self.replicas,), theta) for rule, theta in thetas.items()}
        make = _BACKENDS[name]
        backend: Backend = make(
            self.network, hooks, columns, parameters, self.inputs, self.targets, 1, **more
        )
        return backend, parameters

    def resolved(self) -> tuple[Hooks, dict[str, float]]:
        """Return the hooks, and the theta of each rule."""
        spec = RunSpec(rule=self.rule, task="mnist-mlp", options={"layers": self.depth})
        plan = make_plan(spec, Catalogue())
        return resolve_hooks(plan.selected, circuit=plan.circuit), {
            r.name: r.theta for r in plan.rules
        }
