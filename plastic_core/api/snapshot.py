"""What a probe sees: networks at one evaluation point, and what they would learn there.

It loads no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from plastic_core.api.network_spec import AnyNetwork, NetworkKind


class PointIncrements(Protocol):
    """The increments that single points would give one matrix of networks, thetas included."""

    def dense(self) -> Tensor:
        """Return the increments multiplied out, ``[R, P, n_post, n_pre]``."""
        ...

    def norm(self) -> Tensor:
        """Return the Frobenius norm of each increment, ``[R, P]``, at less cost than `dense`."""
        ...


class Learning(Protocol):
    """What the first probe points would teach networks; computed where it is asked for."""

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        ...

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        ...

    def increments(self) -> Sequence[Mapping[str, PointIncrements]]:
        """Return the increments of each rule and of all."""
        ...


class Subject(Protocol):
    """The networks of a snapshot: gives what is copied or computed where it is asked for."""

    def matrices(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return copies of W and of B."""
        ...

    def evaluated(self) -> list[Tensor]:
        """Return the activities at all points that are evaluated."""
        ...

    def judged(self, evaluated: Sequence[Tensor]) -> Tensor:
        """Return what the networks are judged by there."""
        ...

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return ``a @ b`` of each network by itself."""
        ...

    def unrolled(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return states and hidden activities over time, of recurrent networks."""
        ...

    def layers(self, activities: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what each layer reads, and what it becomes before it is added to anything."""
        ...

    def sent_down(self, layer: int, y: Tensor) -> Tensor:
        """Return what comes back to the input from a layer."""
        ...

    def learning(self) -> Learning:
        """Return what the networks would learn."""
        ...


@dataclass
class Snapshot:
    r"""R networks at one evaluation point. Lists over layers begin with layer 1, but for y_0.

    The networks differ in seed and theta alone, and are measured together to save time, each by
    itself: every tensor but the targets begins with the dimension R, as the signals of rules do. N
    counts the probe points, M all held-out points that the run evaluates on, of which they are the
    first; P the few points of which learning is looked at, the first of the probe points. What is
    here are copies: nothing that is done to them reaches the networks.

    Attributes:
        network: their specification, sizes and activation among it.
        kind: "feedforward" where each layer leads from one population to the next, "layered" where
            there are places, or several matrices in a layer, or "recurrent".
        rules: names of the rules, in the order of the expression.
        activities: y_0 .. y_L, ``[R, N, n_l]``; y_L is what the loss makes of z_L, such as
            softmax. Of recurrent networks the input, the hidden activity at the last step, and
            the output; of layered ones the input and what each layer of the list gives, pools too,
            ``[R, N K, n]`` where it has K places.
        targets: ``[N, n_L]``, one-hot or numbers.
        field: channels, rows and columns of what a unit of the first layer sees: of a patch where
            it sees patches, of the image where it sees all of one; one row where that is no image.
        feedback_kind: "layer" (a B for each layer), "output" (from the output to each layer), or
            None where no rule has feedback matrices.
        all_targets: of all M points, ``[M, n_L]``.
        subject: gives what is copied or computed; read the properties in its place.
        parts: places among the M points of those that stages of the run train on, by their
            classes, such as "0-4"; nothing where all train on all points.
    """

    network: AnyNetwork
    kind: NetworkKind
    rules: tuple[str, ...]
    activities: Sequence[Tensor]
    targets: Tensor
    field: tuple[int, int, int]
    feedback_kind: Literal["layer", "output"] | None
    all_targets: Tensor
    subject: Subject
    parts: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    @cached_property
    def evaluated(self) -> list[Tensor]:
        """y_0 .. y_L on all held-out points that the run evaluates on, ``[R, M, n_l]``.

        They are computed anew: a rule that draws random numbers in its forward hook draws others.
        """
        return self.subject.evaluated()

    @cached_property
    def judged(self) -> Tensor:
        """What the networks are judged by on those points, ``[R, M, n_L]``.

        Their own outputs, or what a readout reads from their activity where the run has one.
        """
        return self.subject.judged(self.evaluated)

    @cached_property
    def _matrices(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.subject.matrices()

    @property
    def weights(self) -> list[Tensor]:
        """W_1 .. W_L, ``[R, n_l, n_{l-1}]``; of recurrent networks W_x, W_h and W_o."""
        return self._matrices[0]

    @property
    def feedback(self) -> list[Tensor]:
        """B_1 .. B_L, ``[R, n_{l-1}, n_l]`` (or ``[R, n_{l-1}, n_L]``), or nothing."""
        return self._matrices[1]

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return ``a @ b`` of each network, ``[R, m, n]``.

        Its rounding is the same whether a network is measured alone or beside others, which that of
        ``a @ b`` is not.

        Args:
            a: ``[R, m, k]``.
            b: ``[R, k, n]``.
        """
        return self.subject.product(a, b)

    @cached_property
    def _unrolled(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.subject.unrolled()

    @property
    def states(self) -> list[Tensor]:
        """z_1 .. z_T of recurrent networks, ``[R, N, n_h]``; nothing of any other."""
        return self._unrolled[0]

    @property
    def hidden(self) -> list[Tensor]:
        """sigma(z_1) .. sigma(z_T) of recurrent networks, ``[R, N, n_h]``; nothing of others."""
        return self._unrolled[1]

    @cached_property
    def _layers(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.subject.layers(self.activities)

    @property
    def pre(self) -> list[Tensor]:
        """What W_1 .. W_L are multiplied by, ``[R, N K_l, n_pre]``, an event of each of K_l places.

        K_l is 1 but where weights are shared: there it is a patch. Of networks that are not
        recurrent, as are post and the errors and increments below.
        """
        return self._layers[0]

    @property
    def post(self) -> list[Tensor]:
        """What that becomes, sigma(z_l), ``[R, N K_l, n_post]``: y_l without what skips the layer.

        Of an output layer what the loss makes of z_L; where nothing activates z_l that itself.
        """
        return self._layers[1]

    def sent_down(self, layer: int, y: Tensor) -> Tensor:
        r"""Return :math:`W_1^\top \cdots W_l^\top y`, ``[R, P, n_0]``, of the first P points.

        Activation functions and normalisation are left out, of sums the first part is followed. Of
        patches that overlap, and through pools, a number is the mean of what comes back to it, and
        0 where nothing does. NaN where another map lies between that is not linear, as attention
        is. Of networks that are not recurrent.

        Args:
            layer: l, counted from 1.
            y: ``[R, P K_l, n_post]``.
        """
        return self.subject.sent_down(layer, y)

    @cached_property
    def _learning(self) -> Learning:
        return self.subject.learning()

    @cached_property
    def errors(self) -> list[Tensor | None]:
        """e_1 .. e_L as the rules propagate them, ``[R, P, n_l]``; None where no rule reads e_l.

        Where weights are shared ``[R, P, K_l, n_l]``.
        """
        return self._learning.errors()

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The errors that backpropagation would give, through every W', ``[R, P, n_l]``."""
        return self._learning.gradients()

    @cached_property
    def increments(self) -> Sequence[Mapping[str, PointIncrements]]:
        """The online increments of each W_l, thetas included, of single points.

        By name of the rule those that change W_l, and under "" all together, transforms included.
        """
        return self._learning.increments()
