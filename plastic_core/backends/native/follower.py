"""From a hook to values: called once with proxies, then read node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from plastic_core.api.update import Decay, Outer, Part, Sum, Update
from plastic_core.backends.native.operations import arguments_of
from plastic_core.backends.native.program import NotNativeError, Value, Values
from plastic_core.hooks.trial import trial_signals


class Follower:
    """Turns what hooks return into values.

    Args:
        values: makes them.
        slots: (rule, state) in the order of "state" values.
        dtype: of the run.
    """

    kind = "rule"

    def __init__(self, values: Values, slots: list[tuple[str, str]], dtype: torch.dtype) -> None:
        self._values, self._slots, self._dtype = values, slots, dtype

    def follow(self, rule: Any, function: Callable[[Any], Any]) -> Any:
        """Return what a hook of a rule returns, with values in the place of tensors.

        Raises:
            NotNativeError: it does what C is not generated for.
        """
        try:
            graph, result = _trace_twice(function)
            found = self._convert(graph, rule)
            return _replace(result, fx.Node, found.__getitem__)
        except NotNativeError as error:
            reason = str(error)
        except Exception as error:  # a rule may do to a proxy what none of them supports
            reason = f"it cannot be followed ({_first_line(error)})"
        raise NotNativeError(f"the {self.kind} '{rule.spec.name}': {reason}")

    def _convert(self, graph: fx.Graph, rule: Any) -> dict[fx.Node, Any]:
        assert graph.owning_module is not None
        shapes = _Shapes(graph.owning_module)
        shapes.run(self._trial(rule))
        found: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            if node.op == "placeholder":
                found[node] = SIGNALS
            elif node.op != "output":
                found[node] = self._node(node, found, shapes.seen[node], rule)
        return found

    def _trial(self, rule: Any) -> Any:
        """Return an argument on which the hook can be tried."""
        return trial_signals(rule, self._dtype)

    def _node(self, node: fx.Node, found: dict[fx.Node, Any], trial: Any, rule: Any) -> Any:
        if node.op == "get_attr":
            if isinstance(trial, Tensor) and trial.numel() == 1:
                return self._values.number(trial.item())
            raise NotNativeError("it uses a tensor of its own")
        args, kwargs = _looked_up(node.args, found), _looked_up(node.kwargs, found)
        if node.op == "call_function" and node.target is getattr:
            return self._attribute(args, trial, rule)
        operation = node.target if isinstance(node.target, str) else node.target.__name__
        if operation in ("getitem", "size") and isinstance(args[0], Value | tuple):
            return self._size(operation, args)
        if operation == "unsqueeze" and isinstance(trial, Tensor) and trial.dim() == 3:
            return args[0]
        values = arguments_of(operation, args, kwargs)
        if values is None:
            raise NotNativeError(f"C is not generated for '{operation}'")
        self._check_shape(operation, trial)
        operation, operands = values
        return self._values.make(operation, *(self._values.value(v) for v in operands))

    def _attribute(self, args: Sequence[Any], trial: Any, rule: Any) -> Any:
        owner, name = args
        if owner is SIGNALS:
            if name == "state":
                return STATE
            if name == "batch":
                return self._values.make("batch")
            if name in ("weight", "feedback"):
                raise NotNativeError(f"it reads the matrix '{name}'")
            return self._values.signal(name)
        if owner is STATE:
            over = rule.spec.state[name].over
            if over == "weight":
                raise NotNativeError(f"its state '{name}' is as large as a weight matrix")
            return self._values.make("state", self._slots.index((rule.name, name)), over)
        if isinstance(owner, Value) and name == "shape":
            return (owner, "shape")
        raise NotNativeError(f"it reads the attribute '{name}' of a tensor")

    def _size(self, operation: str, args: Sequence[Any]) -> Value:
        owner = args[0][0] if isinstance(args[0], tuple) else args[0]
        if len(args) == 2 and args[1] in (-1, 2) and owner.units is not None:
            return self._values.make("units", owner.units)
        if len(args) == 2 and args[1] in (1, -2) and owner.events:
            return self._values.make("batch")
        raise NotNativeError(f"'{operation}' of this kind is not among the supported operations")

    def _check_shape(self, operation: str, trial: Any) -> None:
        if not isinstance(trial, Tensor):
            return
        # in C true and false are 1 and 0, so that a number does not become one of them by itself
        truths = trial.dtype == torch.bool and operation not in (*_CASTS, "add")
        if trial.dtype != self._dtype and not truths:
            raise NotNativeError(f"'{operation}' gives numbers of type {trial.dtype}")
        if trial.dim() == 3 or trial.dim() == 0 or operation in ("sum", "mean", "amax", "amin"):
            return
        raise NotNativeError(f"'{operation}' gives {trial.dim()} dimensions in place of 3")


_CASTS = ("to", "type_as")

#: What the argument of a hook, and its attribute `state`, become.
SIGNALS, STATE = object(), object()


def _looked_up(argument: Any, found: dict[fx.Node, Any]) -> Any:
    """Return arguments of a node with what other nodes became in their places."""
    if isinstance(argument, fx.Node):
        return found[argument]
    if isinstance(argument, tuple | list):
        return tuple(_looked_up(a, found) for a in argument)
    if isinstance(argument, dict):
        return {key: _looked_up(a, found) for key, a in argument.items()}
    return argument


class _Shapes(fx.Interpreter):
    """Runs a graph once on small tensors and keeps every intermediate result."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.seen[n] = result
        return result


def _trace_twice(function: Callable[[Any], Any]) -> tuple[fx.Graph, Any]:
    """Return the graph of a hook, and what it returned with the graph's nodes in it.

    Raises:
        ValueError: two calls differ, as of a rule that counts them or draws numbers.
    """
    graph, result = _trace(function)
    again, _ = _trace(function)
    if graph.python_code("self").src != again.python_code("self").src:
        raise ValueError("it does something else at each call")
    return graph, result


def _trace(function: Callable[[Any], Any]) -> tuple[fx.Graph, Any]:
    tracer = fx.Tracer()
    returned: list[Any] = []

    def call(s: Any) -> None:
        # a proxy of an attribute gets its node when it is first asked for
        returned.append(_replace(function(s), fx.Proxy, lambda proxy: proxy.node))

    graph = tracer.trace(call)
    graph.owning_module = fx.GraphModule(tracer.root, graph)
    return graph, returned[0]


def _replace(result: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return what a hook returned with everything of one type in it replaced."""
    if isinstance(result, kind):
        return function(result)
    if isinstance(result, tuple):
        return tuple(_replace(r, kind, function) for r in result)
    if isinstance(result, dict):
        return {name: _replace(r, kind, function) for name, r in result.items()}
    if not isinstance(result, Update):
        return result
    parts: list[Part] = []
    for part in result.parts:
        if isinstance(part, Outer):
            post, pre = (_replace(f, kind, function) for f in (part.post, part.pre))
            parts.append(Outer(post, pre, part.scale))
        elif isinstance(part, Decay):
            parts.append(Decay(_replace(part.factor, kind, function), part.scale))
        else:
            raise NotNativeError("it returns an increment for the matrix")
    return Sum(tuple(parts))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
