"""From a hook to values: called once with proxies, then read node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final

import torch
from torch import Tensor, fx

from plastic_core.api.signals import PRODUCT_NAMES
from plastic_core.api.site import Site
from plastic_core.backends.native.matrix_forms import (
    INSTEAD,
    Turned,
    multiplied,
    turned,
    turns,
    unturned,
)
from plastic_core.backends.native.operations import ELEMENTWISE, arguments_of, name_of
from plastic_core.backends.native.program import NotNativeError, Value, Values, is_matrix
from plastic_core.backends.native.tracing import (
    Sited,
    named,
    of_a_plugin,
    replaced,
    trace_twice,
)
from plastic_core.base.locks import TRACING
from plastic_core.hooks.tried_signals import SOMEWHERE, trial_signals

#: What to write in place of what C is not generated for.
FOLLOWED: Final = (
    "write it with arithmetic, comparisons, torch.where, functions of single elements, and sum, "
    "mean, amax or amin over dim 1 or -1 with keepdim=True"
)


@dataclass(frozen=True)
class _Shape:
    """The shape of a value."""

    of: Value


@dataclass(frozen=True)
class _Pass:
    """The signals of a pass."""

    index: int


@dataclass(frozen=True)
class _Flat:
    """A value whose dimension of size 1 was left out, until it is put back where it was."""

    value: Value


class Follower:
    """Turns what hooks return into values.

    Args:
        values: makes them.
        slots: (rule, state) in the order of "state" values.
        dtype: of the run.
        noises: (rule, noise) in the order of "noise" values.
        thetas: in the order of "theta" values.
        matrix_slots: (rule, state) in the order of "matrix_state" values.
        own_slots: units by (rule, state), in the order of "own_matrix" values.
    """

    kind = "rule"
    layout = "K in dim 1 and the population in dim -1"

    def __init__(
        self,
        values: Values,
        slots: list[tuple[str, str]],
        dtype: torch.dtype,
        noises: Sequence[tuple[str, str]] = (),
        thetas: Sequence[str] = (),
        matrix_slots: Sequence[tuple[str, str]] = (),
        own_slots: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        self._matrix_slots, self._own_slots = matrix_slots, own_slots
        self._values, self._slots, self._dtype = values, slots, dtype
        self._noises, self._thetas = noises, thetas

    def follow(
        self,
        rule: Any,
        function: Callable[[Any], Any],
        site: Site = SOMEWHERE,
        pass_index: int = 0,
    ) -> Any:
        """Return what a hook of a rule returns, with values in the place of tensors.

        Args:
            rule: whose hook it is.
            function: the hook.
            site: where it is called.
            pass_index: in which pass.

        Raises:
            NotNativeError: it does what C is not generated for; with the line of the rule, and
                what to write there.
        """
        self._site, passes = site, getattr(rule.spec, "passes", 1)
        try:
            with TRACING:
                graph, result = trace_twice(lambda s: function(Sited(s, site, pass_index, passes)))
            found = self._convert(graph, rule)
            return replaced(result, fx.Node, found.__getitem__)
        except NotNativeError as error:
            reason = str(error)
        except Exception as error:  # a rule may do to a proxy what none of them supports
            line = _last_line(error.__traceback__)
            reason = f"{line}it cannot be followed ({_first_line(error)}); {_instead(error)}"
        raise NotNativeError(f"the {self.kind} '{rule.spec.name}': {reason}")

    def _convert(self, graph: fx.Graph, rule: Any) -> dict[fx.Node, Any]:
        assert graph.owning_module is not None
        shapes = _Shapes(graph.owning_module)
        try:
            shapes.run(self._trial(rule))
        except Exception as error:  # such as a function of torch's that takes no proxy
            raise NotNativeError(
                f"{named(shapes.line)}it cannot be followed ({_first_line(error)}); {FOLLOWED}"
            ) from None
        found: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            if node.op == "placeholder":
                found[node] = SIGNALS
            elif node.op != "output":
                try:
                    found[node] = self._node(node, found, shapes.seen[node], rule)
                except NotNativeError as error:
                    raise NotNativeError(f"{named(node.meta['line'])}{error}") from None
        return found

    def _trial(self, rule: Any) -> Any:
        """Return an argument on which the hook can be tried."""
        trial = trial_signals(rule, self._dtype, self._site)
        self._replicas, self._events, post = trial.post.shape
        pre, out = trial.pre.shape[-1], trial.output_error.shape[-1]
        self._units = {None: 1, "post": post, "pre": pre, "out": out}
        return trial

    def _node(self, node: fx.Node, found: dict[fx.Node, Any], trial: Any, rule: Any) -> Any:
        if node.op == "get_attr":
            if isinstance(trial, Tensor) and trial.numel() == 1:
                return self._values.number(trial.item())
            raise NotNativeError(
                "it uses a tensor of its own; write numbers, or keep it in a state"
            )
        args, kwargs = _looked_up(node.args, found), _looked_up(node.kwargs, found)
        if node.target is getattr:
            return self._attribute(args, trial, rule)
        if args and args[0] is SIGNALS:
            if node.target not in PRODUCT_NAMES:
                raise NotNativeError(f"C is not generated for 's.{node.target}()'")
            return self._checked(node.target, self._values.product(node.target, *args[1:]), trial)
        method = isinstance(node.target, str)
        name: str | None = node.target if isinstance(node.target, str) else name_of(node.target)
        if name == "getitem" and args[0] is PASSES:
            return _Pass(args[1])
        if name == "getitem" and isinstance(args[0], _Shape):
            return self._size(args[0].of, args[1])
        if name == "size" and method and not kwargs:
            return self._size(*args) if len(args) > 1 else _Shape(args[0])
        if turns(name, args):
            return self._checked("mT", self._turned(args[0]), trial)
        if name in ("bmm", "matmul") and len(args) == 2 and not kwargs:
            return self._checked("bmm", multiplied(self._values, *args), trial)
        if name == "eye":
            return self._checked(name, self._identity(args), trial)
        is_turned = any(isinstance(one, Turned) for one in args)
        args = unturned(args) if is_turned else args
        if name == "unsqueeze" and isinstance(args[0], _Flat):
            return self._checked(name, args[0].value, trial)
        if name == "softmax" and len(args) == 2 and args[1] in (-1, 2) and not kwargs:
            return self._checked(name, self._values.softmax(args[0]), trial)
        values = None if name is None else arguments_of(name, args, kwargs, method)
        if name is None or values is None:
            called = name or str(getattr(node.target, "__name__", "a call"))
            if name is not None and kwargs and arguments_of(name, args, {}, method):
                called += f"' with '{', '.join(kwargs)}"
            raise NotNativeError(f"C is not generated for '{called}'; {FOLLOWED}")
        operation, operands = values
        if any(isinstance(operand, _Flat) for operand in operands):
            raise NotNativeError(f"'{name}' of a result without keepdim=True; add it")
        if is_turned and operation not in ELEMENTWISE:
            raise NotNativeError(f"it turns a matrix; {INSTEAD}")
        value = self._values.make(operation, *(self._values.value(v) for v in operands))
        return self._checked(name, Turned(value) if is_turned else value, trial)

    def _turned(self, one: Any) -> Value | Turned:
        return turned(self._values, one)

    def _identity(self, args: tuple[Any, ...]) -> Value:
        """Return 1 on the diagonal of a population by itself, for ``torch.eye(n)``."""
        (size,) = args
        if isinstance(size, Value) and size.operation == "units":
            return self._values.make("eye", *size.arguments)
        raise NotNativeError("of torch.eye(n) n is the size of a population, s.post.shape[-1]")

    def _attribute(self, args: Sequence[Any], trial: Any, rule: Any) -> Any:
        owner, name = args
        if owner is SIGNALS:
            if name in _OWN:
                return _OWN[name]
            if name == "batch":
                return self._values.make("batch")
            if name == "weight":
                return self._values.make("weight")
            if name == "feedback":
                raise NotNativeError(f"it reads the matrix 'feedback'; {INSTEAD}")
            return self._values.signal(name)
        if isinstance(owner, _Pass):
            return self._values.signal(name, owner.index)
        if owner is THETA:
            return self._values.make("theta", self._thetas.index(f"{rule.spec.name}.{name}"))
        if owner is NOISE:
            slot = self._noises.index((rule.spec.name, name))
            if name == "weight":
                return self._values.make("weight_noise", slot)
            return self._values.make("noise", slot, name)
        if owner is STATE:
            state = rule.spec.state[name]
            if state.over == "weight":
                slot = self._matrix_slots.index((rule.spec.name, name))
                return self._values.make("matrix_state", slot)
            if state.is_matrix:
                slot = [*self._own_slots].index((rule.spec.name, name))
                units = self._own_slots[rule.spec.name, name].replace("out", self._values.out)
                return self._values.make("own_matrix", slot, units)
            over = None if state.over == "one" else state.over
            return self._values.make("state", self._slots.index((rule.spec.name, name)), over)
        if isinstance(owner, Value) and name == "shape":
            return _Shape(owner)
        if isinstance(owner, Value) and name in ("dtype", "device"):
            return trial
        if name == "mT":
            return self._checked(name, self._turned(owner), trial)
        raise NotNativeError(f"it reads the attribute '{name}' of a tensor; {FOLLOWED}")

    def _size(self, owner: Any, dim: Any) -> Value:
        if isinstance(owner, Value) and isinstance(dim, int):
            rows, _, columns = (owner.units or "").rpartition("*")
            if dim in (-1, 2) and columns:
                return self._values.make("units", columns)
            if dim in (1, -2) and rows:
                return self._values.make("units", rows)
            if dim in (1, -2) and owner.events:
                return self._values.make("events")
        raise NotNativeError(
            "it reads a size that is none of K or of a population; write s.post.shape[1] for K, "
            "s.batch for the size of the mini-batch, or s.post.shape[-1] for that of a population"
        )

    def _checked(self, operation: str, value: Value | Turned, trial: Any) -> Any:
        """Return a value whose numbers on trial are as C would give them.

        Raises:
            NotNativeError: type or shape differ.
        """
        if isinstance(value, Turned):
            return Turned(self._checked(operation, value.value, trial.mT))
        bits = operation in _BITS
        if isinstance(trial, bool | int | float):
            if bits:  # a true comparison is 1, but 1 and 2 have no bit in common
                raise NotNativeError(f"C is not generated for '{operation}' of numbers; {FOLLOWED}")
            return value
        if not isinstance(trial, Tensor):
            raise NotNativeError(
                f"'{operation}' gives a value of type {type(trial).__name__}; {FOLLOWED}"
            )
        # in C true and false are 1 and 0, so that a number does not become one of them by itself
        truths = trial.dtype == torch.bool and operation not in (*_CASTS, "add")
        if trial.dtype != self._dtype and not truths:
            raise NotNativeError(
                f"'{operation}' gives numbers of type {trial.dtype}; write torch.where(condition, "
                "a, b) with signals or s.post.dtype to stay with theirs"
            )
        if trial.dim() == 0 or (trial.dim() == 3 and self._fits(value, trial.shape[1:])):
            return value
        if trial.dim() == 2 and is_matrix(value.units) and self._fits(value, trial.shape):
            return value  # such as 1 - torch.eye(n)
        if trial.dim() < 3 and (operation in _REDUCE or operation == "unsqueeze"):
            return _Flat(value)
        if trial.dim() != 3:
            raise NotNativeError(
                f"'{operation}' gives {trial.dim()} dimensions in place of 3; add keepdim=True"
            )
        raise NotNativeError(
            f"'{operation}' combines dimensions that do not belong together; keep {self.layout}"
        )

    def _fits(self, value: Value, shape: torch.Size) -> bool:
        """Return whether a result on trial varies over what its value varies over."""
        if is_matrix(value.units):
            rows, _, columns = str(value.units).partition("*")
            return tuple(shape) == (self._units[rows], self._units[columns or None])
        return tuple(shape) == (self._events if value.events else 1, self._units[value.units])


_REDUCE = ("sum", "mean", "amax", "amin")
_BITS = ("and_", "or_", "invert")
_CASTS = ("to", "type_as")

#: What the argument of a hook, and what belongs to its rule, become.
SIGNALS, STATE, NOISE, THETA, PASSES = (object() for _ in range(5))
_OWN: Final = {"state": STATE, "noise": NOISE, "theta": THETA, "passes": PASSES}


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
        self.line: int | None = None

    def run_node(self, n: fx.Node) -> Any:
        self.line = n.meta["line"]
        result = super().run_node(n)
        self.seen[n] = result
        return result


def _last_line(trace: TracebackType | None) -> str:
    """Return the innermost line of a rule that an exception came through, as a prefix."""
    line = None
    while trace is not None:
        if of_a_plugin(trace.tb_frame):
            line = trace.tb_lineno
        trace = trace.tb_next
    return named(line)


def _instead(error: Exception) -> str:
    """Return what to write in place of what raised while a rule was followed."""
    if "control flow" in str(error):
        return "write torch.where(condition, a, b) in place of branching on values"
    if "as an integer" in str(error):
        return "C is not generated for loops over time, units or events"
    if "at each call" in str(error):
        return "compute from the signals, the state and the parameters alone"
    return FOLLOWED


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
