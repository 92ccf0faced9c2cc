"""Maps: functions without parameters between populations, and how errors come back through them.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from plastic_core.api.activation import Activation
from plastic_core.api.loss import Loss
from plastic_core.api.normalisation import normalise, normalise_back
from plastic_core.base.errors import TrainingError, describe_exception, line_of

if TYPE_CHECKING:
    from torch import Tensor


class Map(ABC):
    """A function of nodes ``[R, K, n]``.

    K is the mini-batch times the places of each node, which lie side by side.

    Attributes:
        gates: whether an error that its rule does not gate passes it unchanged.
        constant: whether the output does not depend on the inputs, so that no error goes back.
        surrogate: whether the way back is not the derivative, but stands in for it.
        linear: whether output and error are linear where `kept` is given, as in a maximum.
        layout: whether it only puts the numbers into another order, or several times.
    """

    gates = False
    constant = False
    surrogate = False
    linear = False
    layout = False

    @abstractmethod
    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the output, and what `backward` needs of it."""

    def along(self, changes: Sequence[Tensor], kept: Any) -> Tensor:
        """Return the change of the output of a linear map, ``[P R, K, n]``, P changes of each.

        Args:
            changes: of the inputs, ``[P R, K, n]``.
            kept: from `forward`, of R networks.
        """
        return self.forward(*changes)[0]

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        r"""Return dL/dx of each input x from dL/dy of the output y.

        By torch's own differentiation; a map that is used at every step writes it by hand.
        """
        import torch

        through: tuple[Any, ...]
        through = torch.func.vjp(lambda *inputs: self.forward(*inputs)[0], *kept)[1](error)
        return through


class Activate(Map):
    r"""The activation function, y = \sigma(z)."""

    gates = True

    def __init__(self, activation: Activation) -> None:
        self.activation, self.surrogate = activation, activation.spec.surrogate

    @property
    def slope_of_y(self) -> bool:
        """Whether its slope reads the activity alone."""
        return self.activation.spec.slope_of == "y"

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        y = self.activation.apply(inputs[0])
        return y, (inputs[0], y)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (error * self.activation.slope(*kept),)

    def at_input(self, error: Any, y: Any) -> Any:
        """Return the error that arrived at an activity of which there is no z."""
        return error * self.activation.slope(y, y) if self.slope_of_y else error


class Normalise(Map):
    """Layer normalisation."""

    gates = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        kept = normalise(inputs[0])
        return kept[0], kept

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (normalise_back(error, *kept),)


class Constant(Map):
    """A single unit that is always 1, for each sample of a population."""

    constant = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return inputs[0].new_ones((*inputs[0].shape[:-1], 1)), None


class Add(Map):
    """The sum; the error of each of its inputs is that of the output."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        total = inputs[0]
        for one in inputs[1:]:
            total = total + one
        return total, len(inputs)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        errors: tuple[Any, ...] = (error,) * kept
        return errors


class Guarded(Map):
    """A map of a plugin, which says where it fails whose it is.

    Args:
        function: the map.
        units: that it gives at each place.
        places: of what it reads first, and of what it gives.
        inputs: the number of populations that it reads.
    """

    def __init__(self, function: Map, units: int, places: tuple[int, int], inputs: int) -> None:
        self.function, self._units, self._inputs = function, units, inputs
        self._places = places
        self.gates, self.constant = function.gates, function.constant
        self.surrogate, self.layout = function.surrogate, function.layout

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        result: tuple[Tensor, Any] = self._called("forward", self._forward, *inputs)
        return result

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        through: tuple[Any, ...] = self._called("backward", self._backward, error, kept)
        return through

    def _forward(self, *inputs: Any) -> Any:
        result = self.function.forward(*inputs)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"it returned {_brief(result)}; expected y and what backward() needs")
        replicas, rows = inputs[0].shape[:2]
        shape = (replicas, rows // self._places[0] * self._places[1], self._units)
        if _brief(result[0]) != (expected := f"{inputs[0].dtype} {[*shape]}"):
            raise TypeError(f"y is {_brief(result[0])}; expected {expected}")
        return result

    def _backward(self, error: Any, kept: Any) -> Any:
        through = self.function.backward(error, kept)
        if not (isinstance(through, tuple) and len(through) == self._inputs):
            raise TypeError(f"it returned {_brief(through)}; expected a tuple of {self._inputs}")
        return through

    def _called(self, method: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except (Exception, SystemExit) as error:
            raise TrainingError(
                f"the map '{type(self.function).__name__}' failed: {method} raised "
                f"{describe_exception(error)}{line_of(error)}"
            ) from error


def _brief(value: Any) -> str:
    """Return what a map gave in a few words."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {[*value.shape]}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"{value!r}"[:60]


class Output(Map):
    """The output function of the loss; its error is the loss's own."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return self.loss.output(inputs[0]), None
