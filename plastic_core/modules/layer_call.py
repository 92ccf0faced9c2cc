"""A call of a layer, and how its error comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plastic_core.api.signals import Signals
from plastic_core.base.errors import PlasticError
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.tried_signals import SOMEWHERE
from plastic_core.modules.plastic_layer import PlasticLayer


class LayerProducts(NamedTuple):
    """See `plastic_core.api.signals.Products`."""

    weight: Tensor
    feedback: Tensor | None

    def forward(self, v: Tensor) -> Tensor:
        """Return W v."""
        return v @ self.weight.mT

    def back(self, v: Tensor) -> Tensor:
        """Return W' v."""
        return v @ self.weight

    def feed_back(self, v: Tensor) -> Tensor:
        """Return B v."""
        assert self.feedback is not None, "a rule was tried without it"
        return v @ self.feedback.mT


def is_plain(hooks: Hooks) -> bool:
    """Return whether the error goes back through W' alone, as PyTorch's own does."""
    if hooks.propagate is None or hooks.propagate_reads != {"weight_error"}:
        return False
    asked = Signals(SOMEWHERE, LayerProducts(torch.empty(0), None))
    asked.weight_error = torch.zeros(1, 1, 1)
    return hooks.propagate(asked) is asked.weight_error


class LayerCall(NamedTuple):
    """A call of a layer: with what, and what came of it.

    Attributes:
        version: how often x had been written to.
    """

    layer: PlasticLayer
    x: Tensor
    z: Tensor
    version: int


#: Takes up an error, and returns what goes on, where anybody wants it.
ComeBack = Callable[[LayerCall, Tensor, bool], Tensor | None]


class Sent(torch.autograd.Function):
    """What a layer gives; its error comes back through the rule, and not through the layer."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, came_back: ComeBack, call: LayerCall
    ) -> Tensor:
        """Return z; a copy, for what follows may write over it."""
        ctx.came_back, ctx.call = came_back, call
        return call.z.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        """Return the error of what the layer was called with.

        Raises:
            PlasticError: it is to be differentiated once more.
        """
        if torch.is_grad_enabled():
            raise PlasticError(
                f"a backward pass with create_graph=True goes through {ctx.call.layer.name}, and "
                "what a rule sends back has no derivative; leave such layers out by layers="
            )
        through = ctx.came_back(ctx.call, gradient, ctx.needs_input_grad[0])
        return through, None, None, None
