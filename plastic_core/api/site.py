"""Where in a network a hook is called.

This module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from plastic_core.api.activation import Activation
from plastic_core.api.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor

#: What a hook may ask about where it is called.
SITE_NAMES: Final = ("layer", "is_output", "leak", "activation", "slope")


class Site(NamedTuple):
    """A projection, as the hooks of a rule see it; the same at every step.

    Attributes:
        layer: counted from 1.
        is_output: whether what it becomes is the output of the network.
        function: what z becomes the activity by; the loss at the output, None where z is it.
        places: that share the weights, side by side for each sample.
        leak: how fast the activity follows, 1 where it has no memory of its own.
    """

    layer: int = 1
    is_output: bool = False
    function: Activation | Loss | None = None
    places: int = 1
    leak: float = 1.0

    def activation(self, z: Tensor) -> Tensor:
        r"""Return :math:`\sigma(z)`, ``[R, K, n_post]``."""
        if isinstance(self.function, Loss):
            return self.function.output(z)
        return z if self.function is None else self.function.apply(z)

    def slope(self, z: Tensor) -> Tensor:
        r"""Return :math:`\sigma'(z)`, ``[R, K, n_post]``.

        Raises:
            TypeError: at the output, where what the loss makes of z has none.
        """
        if isinstance(self.function, Loss):
            raise TypeError(
                "there is no slope at the output; ask s.is_output first, or read s.output_error"
            )
        if self.function is None:
            return z * 0 + 1
        return self.function.slope(z, self.function.apply(z))

    def answers(self, asked: frozenset[str]) -> tuple[object, ...]:
        """Return what a hook gets to know that asks for some of `SITE_NAMES`."""
        known = {"layer": self.layer, "is_output": self.is_output, "leak": self.leak}
        return tuple(known.get(name, self.function) for name in sorted(asked))
