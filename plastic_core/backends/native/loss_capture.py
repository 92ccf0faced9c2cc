"""What a loss computes at the output, as expressions over the units of the last layer.

Softmax is written in C by hand; any other output function, and the error, must be elementwise.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, fx

from plastic_core.api.loss import Loss
from plastic_core.backends.native.follower import Follower
from plastic_core.backends.native.matrix_forms import Turned
from plastic_core.backends.native.operations import REDUCTIONS
from plastic_core.backends.native.program import LossProgram, NotNativeError, Value, Values

_UNITS = "post"
_OVER_UNITS = "C is made of sums and means over the units, dim -1"
_INSTEAD = "C is generated for functions of single units, and for softmax over all of them"


def capture_loss(loss: Loss, constants: list[float], dtype: torch.dtype) -> LossProgram:
    """Return what a loss computes.

    Args:
        loss: an instance.
        constants: numbers of the program, which are added to.
        dtype: of the run.

    Raises:
        NotNativeError: with the reason.
    """
    values = OutputValues()
    values.constants = constants
    follower = _LossFollower(values, [], dtype)
    output = follower.follow(loss, lambda s: loss.output(s.z))
    error = follower.follow(loss, lambda s: loss.error(s.output, s.target))
    if not (isinstance(output, Value) and isinstance(error, Value)):
        raise NotNativeError(f"the loss '{loss.spec.name}': its output or error is no tensor")
    return LossProgram(output, error)


def capture_loss_value(loss: Loss, values: Values, dtype: torch.dtype) -> Value:
    """Return the loss of a sample, made of the signals `output` and `target`.

    It is computed in the type of the run, where the loss says float64.

    Raises:
        NotNativeError: with the reason.
    """
    follower = _ValueFollower(values, [], dtype)
    typed: Any = type("Typed", (fx.Proxy,), {"dtype": dtype})  # which a loss may ask for

    def value(s: Any) -> Any:
        output = s.output
        proxy = isinstance(output, fx.Proxy)
        return loss.value(typed(output.node, output.tracer) if proxy else output, s.target)

    found = follower.follow(loss, value)
    if not isinstance(found, Value) or found.units is not None:
        raise NotNativeError(f"the loss '{loss.spec.name}': its value is no number for each sample")
    return found


class OutputValues(Values):
    """Values over the units of the output."""

    def _new(self, operation: str, arguments: tuple[Any, ...]) -> Value:
        if operation in ("signal", "softmax"):
            return Value(operation, arguments, True, _UNITS, 0)
        over_units = operation in REDUCTIONS
        if over_units or any(getattr(a, "operation", "") == "softmax" for a in arguments):
            raise NotNativeError(f"it combines units of the output; {_INSTEAD}")
        return super()._new(operation, arguments)


class _OfLoss(Follower):
    """Follows methods of a loss, on a few samples."""

    kind = "loss"
    population = _UNITS  # what their units are called

    def _trial(self, _: Any) -> Any:
        # all sizes differ, so that nothing fits by chance
        self._replicas, self._events, units = 2, 3, 5
        self._units = {None: 1, self.population: units}
        source = torch.Generator().manual_seed(0)
        z, output, target = torch.rand(3, 2, 3, units, generator=source, dtype=self._dtype)
        return SimpleNamespace(z=z, output=output, target=target)


class _LossFollower(_OfLoss):
    def _node(self, node: fx.Node, found: dict[fx.Node, Any], trial: Any, rule: Any) -> Any:
        softmax = node.target in ("softmax", torch.softmax, torch.nn.functional.softmax)
        if softmax and node.args[1:] == (-1,) and not node.kwargs:
            z = found[node.all_input_nodes[0]]
            if z is self._values.signal("z"):
                return self._values.make("softmax", z)
            raise NotNativeError(f"it takes softmax of something else than z; {_INSTEAD}")
        return super()._node(node, found, trial, rule)


class _ValueFollower(_OfLoss):
    population = "out"

    def _node(self, node: fx.Node, found: dict[fx.Node, Any], trial: Any, rule: Any) -> Any:
        if node.target in ("double", "float"):
            return found[node.all_input_nodes[0]]
        return super()._node(node, found, trial, rule)

    def _checked(self, operation: str, value: Value | Turned, trial: Any) -> Any:
        if isinstance(value, Turned):
            raise NotNativeError(f"it turns what is over units; {_OVER_UNITS}")
        shape = (self._events, *((self._units[value.units],) if value.units else ()))
        if isinstance(trial, Tensor) and trial.shape[1:] != shape and trial.dim() > 0:
            raise NotNativeError(
                f"'{operation}' gives the shape {list(trial.shape)}; {_OVER_UNITS}"
            )
        return value
