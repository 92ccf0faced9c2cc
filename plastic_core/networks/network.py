"""Networks: how activity goes forward, how errors come back, and how weights begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from plastic_core.api.loss import Loss
    from plastic_core.api.network_spec import AnyNetwork
    from plastic_core.api.signals import Signals
    from plastic_core.hooks.hooks import Hooks
    from plastic_core.networks.parameters import Parameters


class Space(Protocol):
    """One projection of a network at one step of learning.

    Attributes:
        projection: its index, counted from 0.
        signals: what its rules may read, set.
        pair: factors that lie side by side in `stack`, or nothing.
    """

    projection: int
    signals: Signals
    pair: tuple[Tensor, ...]
    stack: Tensor


class Network(Protocol):
    """A network over the replicas of its parameters, which it reads and never writes."""

    def signals(self, x: Tensor, target: Tensor) -> Iterator[Space]:
        """Run one forward pass, then yield each projection from the output down, its signals set.

        When a projection is yielded, all that depends on its weights has been computed, so that
        its consumer may change them: every increment of a step sees one snapshot.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        ...

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities of one replica from the input to the output, ``[1, N, n]`` each.

        Of a recurrent network those of the last step.
        """
        ...


def make_network(
    spec: AnyNetwork, hooks: Hooks, parameters: Parameters, loss: Loss | None = None
) -> Network:
    """Return the network that a spec describes; `loss` as in `loss_of`."""
    from plastic_core.api.network_spec import RecurrentSpec
    from plastic_core.networks.feedforward import Feedforward
    from plastic_core.networks.recurrent import Recurrent

    if isinstance(spec, RecurrentSpec):
        return Recurrent(spec, hooks, parameters, loss)
    return Feedforward(spec, hooks, parameters, loss)
