"""Maps of networks that run through a sequence: its steps, what leaks, and all answers together.

The steps of a sequence lie one after the other in one place, ``[R, K, T n]``; where all of them are
places, each sample has them side by side, ``[R, K T, n]``.

This module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plastic_core.api.maps import Map

if TYPE_CHECKING:
    from torch import Tensor


class AtStep(Map):
    """What a sequence shows at one step.

    Args:
        step: counted from 0.
        units: shown at each step.

    Attributes:
        shown: where that lies.
    """

    linear = layout = True

    def __init__(self, step: int, units: int) -> None:
        self.shown = slice(step * units, (step + 1) * units)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return inputs[0][..., self.shown], inputs[0].shape[-1]

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        import torch

        return (torch.nn.functional.pad(error, (self.shown.start, kept - self.shown.stop)),)


class Follow(Map):
    r"""What follows slowly, y_t = (1 - leak) y_{t-1} + leak \sigma(z_t).

    It is given sigma(z_t), and y_{t-1} but at the first step.

    Args:
        leak: from 0 to 1; 1 where nothing is kept.
    """

    linear = True

    def __init__(self, leak: float) -> None:
        self.leak = leak

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        drawn = self.leak * inputs[0]
        return (drawn + (1 - self.leak) * inputs[1] if inputs[1:] else drawn), len(inputs)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (self.leak * error, (1 - self.leak) * error)[:kept]


class Join(Map):
    """All steps of a population, the places of one node."""

    linear = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        import torch

        return torch.stack(inputs, 2).flatten(1, 2), len(inputs)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        replicas, _, units = error.shape
        steps: tuple[Any, ...] = error.reshape(replicas, -1, kept, units).unbind(2)
        return steps


class AtPlace(Map):
    """What lies at one of the places of a node.

    Args:
        place: counted from 0.
        places: that there are.

    Attributes:
        place: as given.
    """

    linear = True

    def __init__(self, place: int, places: int) -> None:
        self.place, self._places = place, places

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        replicas, _, units = inputs[0].shape
        return inputs[0].reshape(replicas, -1, self._places, units)[:, :, self.place], None
