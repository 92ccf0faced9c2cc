"""What a probe sees: one network at one evaluation point, and what it would learn there.

It loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from plastic_core.network_specs import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

    from plastic_core.network_specs import AnyNetwork


class PointIncrements(Protocol):
    """The increments that single points would give one matrix, thetas included."""

    def dense(self) -> Tensor:
        """Return the increments multiplied out, ``[P, n_post, n_pre]``."""
        ...

    def norm(self) -> Tensor:
        """Return the Frobenius norm of each increment, ``[P]``, at less cost than `dense`."""
        ...


class Learning(Protocol):
    """What the first probe points would teach the network; computed where it is asked for."""

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        ...

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        ...

    def increments(self) -> Sequence[Mapping[str, PointIncrements]]:
        """Return the increments of each rule and of all."""
        ...


@dataclass
class Snapshot:
    r"""One network at one evaluation point. Lists over layers begin with layer 1, but for y_0.

    A probe measures a network by itself, so that no tensor has a dimension of replicas. N counts
    the probe points, M all held-out points that the run evaluates on, of which they are the first;
    P the few points of which learning is looked at, the first of the probe points. The tensors
    are copies that are written over afterwards: what is to be kept is computed at once.

    Attributes:
        network: its specification, sizes and activation among it.
        rules: names of the rules, in the order of the expression.
        activities: y_0 .. y_L, ``[N, n_l]``; y_L is softmax(z_L). Of a recurrent network the
            input, the hidden activity at the last step, and the output.
        evaluated: y_0 .. y_L on all points, ``[M, n_l]``.
        states: z_1 .. z_T of a recurrent network, ``[N, n_h]``; nothing of any other.
        hidden: sigma(z_1) .. sigma(z_T), likewise.
        targets: ``[N, n_L]``, one-hot.
        weights: W_1 .. W_L, ``[n_l, n_{l-1}]``; of a recurrent network W_x, W_h and W_o.
        feedback: B_1 .. B_L, ``[n_{l-1}, n_l]`` (or ``[n_{l-1}, n_L]``), or nothing.
        feedback_kind: "layer" (a B for each layer), "output" (from the output to each layer), or
            None where no rule has feedback matrices.
        learn: gives what is learned; read `errors`, `gradients` and `increments` in its place.
    """

    network: AnyNetwork
    rules: tuple[str, ...]
    activities: Sequence[Tensor]
    evaluated: Sequence[Tensor]
    states: Sequence[Tensor]
    hidden: Sequence[Tensor]
    targets: Tensor
    weights: Sequence[Tensor]
    feedback: Sequence[Tensor]
    feedback_kind: Literal["layer", "output"] | None
    learn: Callable[[], Learning]

    @cached_property
    def branches(self) -> list[Tensor]:
        """y_l without what skipped the layer, sigma(z_l), for each layer, ``[N, n_l]``.

        Of feed-forward networks, as are the errors and increments below.
        """
        assert isinstance(self.network, NetworkSpec)
        pairs = zip(self.activities[1:], self.activities[:-1], self.network.skips, strict=True)
        return [y - below if skip else y for y, below, skip in pairs]

    @cached_property
    def _learning(self) -> Learning:
        return self.learn()

    @cached_property
    def errors(self) -> list[Tensor | None]:
        """e_1 .. e_L as the rules propagate them, ``[P, n_l]``; None where no rule reads e_l."""
        return self._learning.errors()

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The errors that backpropagation would give, through every W', ``[P, n_l]``."""
        return self._learning.gradients()

    @cached_property
    def increments(self) -> Sequence[Mapping[str, PointIncrements]]:
        """The online increments of each W_l, thetas included, of single points.

        By name of the rule those that change W_l, and under "" all together, transforms included.
        """
        return self._learning.increments()
