"""What the rules of a run compute at each projection, as expressions over its vectors.

The hooks that the eager backend calls are called once with torch.fx proxies; what comes out is
turned into `Value`s, which know over which axes they vary. What a C loop cannot be made of is
refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from plastic_core.backends.native.operations import REDUCTIONS, arguments_of
from plastic_core.build import Hooks, LocalRule, trial_signals
from plastic_core.networks.feedforward import Needs, plan_needs
from plastic_core.parameters import state_key
from plastic_core.specs import NetworkSpec
from plastic_core.updates import Decay, Outer, Part, Sum, Update, as_update


class NotNative(Exception):
    """The reason why the native backend cannot take a run."""


@dataclass(frozen=True, eq=False)
class Value:
    """One intermediate result; equal ones are the same object.

    Attributes:
        operation: "signal", "state", "number", "theta", "batch", "units", or a key of
            `operations.ELEMENTWISE` or `operations.REDUCTIONS`.
        arguments: values, and for leaves what names them.
        events: whether it differs between the events of a mini-batch.
        units: "pre", "post" or "out", the population that it varies over, or None.
        level: how many reductions lie below it.
    """

    operation: str
    arguments: tuple[Any, ...]
    events: bool
    units: str | None
    level: int


@dataclass
class RankOne:
    """An increment row column', summed over the events; the thetas are in `column`."""

    row: Value
    column: Value


@dataclass
class MatrixUpdate:
    """All that changes one matrix, which lies with the presynaptic population along columns.

    Attributes:
        products: the outer products, one for each different row factor.
        row_decay: the fraction of each row that decays, or None.
        column_decay: the same for columns.
    """

    products: list[RankOne]
    row_decay: Value | None = None
    column_decay: Value | None = None


@dataclass
class Kind:
    """What happens at projections that are alike.

    Attributes:
        needs: what the engine must compute there.
        weight, feedback: the updates; None where nothing changes.
        pre_error: the error that goes on to the layer below, or None.
        arrived: the same before the gate, where the layer below has a residual connection.
        states: (slot, new value).
        state_units: for each slot the population that the state belongs to.
    """

    needs: Needs
    weight: MatrixUpdate | None
    feedback: MatrixUpdate | None
    pre_error: Value | None
    arrived: Value | None
    states: list[tuple[int, Value]]
    state_units: dict[int, str]


@dataclass
class Program:
    """Everything that the generated source depends on, and what is handed over beside it.

    Attributes:
        kinds: the different kinds of projections.
        kind_of: which one each projection is.
        thetas: names of the rules, in the order of `Value`s "theta".
        constants: numbers of the rules, kept out of the source.
        states: for each slot the key of the state at each projection, or None.
        feedback_output: whether the feedback matrices come from the output layer.
    """

    kinds: list[Kind]
    kind_of: list[int]
    thetas: list[str]
    constants: list[float]
    states: list[list[str | None]]
    feedback_output: bool


_UNITS = {
    "pre": "pre",
    "branch": "pre",
    "above": "pre",
    "recon": "pre",
    "weight_error": "pre",
    "feedback_error": "pre",
    "post": "post",
    "error": "post",
    "output_error": "out",
}


def capture(hooks: Hooks, spec: NetworkSpec, dtype: torch.dtype) -> Program:
    """Return what the rules of a run compute.

    Raises:
        NotNative: with the reason.
    """
    if hooks.transforms:
        names = ", ".join(name for name, _, _ in hooks.transforms)
        raise NotNative(f"transforms need the whole increment of a matrix ({names})")
    if hooks.forward:
        raise NotNative("a rule computes z in a way of its own (plastic_forward)")
    if dtype not in (torch.float32, torch.float64):
        raise NotNative(f"dtype {dtype}")
    return _Capture(hooks, spec, dtype).program()


class _Capture:
    def __init__(self, hooks: Hooks, spec: NetworkSpec, dtype: torch.dtype) -> None:
        self.hooks, self.spec, self.dtype = hooks, spec, dtype
        self.thetas = [rule.name for rule in hooks.local]
        self.constants: list[float] = []
        self.slots = [(rule.name, name) for rule in hooks.local for name in rule.spec.state]
        self._known: dict[tuple[Any, ...], Value] = {}
        self._projection_values: dict[str, Value] = {}

    def program(self) -> Program:
        depth = self.spec.depth
        needs = plan_needs(self.hooks, depth)
        kinds: list[Kind] = []
        known: dict[tuple[Any, ...], int] = {}
        kind_of = []
        for p in range(depth):
            skip, below = self.spec.skips[p], p > 0 and self.spec.skips[p - 1]
            rules = tuple(rule for rule in self.hooks.local if p in rule.layers)
            key = (needs[p], skip, below, rules)
            if key not in known:
                known[key] = len(kinds)
                kinds.append(self._kind(needs[p], skip, below, rules))
            kind_of.append(known[key])
        states = [
            [state_key(name, p, state) if p in rule.layers else None for p in range(depth)]
            for rule in self.hooks.local
            for name, state in [(rule.name, s) for s in rule.spec.state]
        ]
        output = self.hooks.feedback == "output"
        return Program(kinds, kind_of, self.thetas, self.constants, states, output)

    def _kind(self, needs: Needs, skip: bool, below: bool, rules: tuple[LocalRule, ...]) -> Kind:
        self._projection_values = {"source": self._signal("pre")}
        pre_error = arrived = None
        if needs.propagate:
            assert self.hooks.propagate is not None
            owner = self.hooks.propagator
            arrived = self._trace(owner, self.hooks.propagate)
            if not isinstance(arrived, Value):
                raise NotNative(f"the rule '{owner.spec.name}' propagates {arrived!r}")
            arrived = self.make("identity", arrived)
            if skip:
                arrived = self.make("add", arrived, self._signal("above"))
            pre_error = arrived
            if self.hooks.gated:
                slope = self.make("activation_slope", self._signal("branch"))
                pre_error = self.make("mul", arrived, slope)
            self._projection_values["pre_error"] = pre_error
        kind = Kind(needs, None, None, pre_error, arrived if below else None, [], {})
        updates: dict[str, list[tuple[str, Any]]] = {"forward": [], "feedback": []}
        for rule in rules:
            result = self._trace(rule, rule.function)
            if rule.spec.state:
                result, new = result
                for name, value in new.items():
                    slot = self.slots.index((rule.name, name))
                    kind.states.append((slot, self._value(value)))
                    kind.state_units[slot] = rule.spec.state[name].over
            if len(rule.spec.modifies) == 1:
                result = {next(iter(rule.spec.modifies)): result}
            for matrix, update in result.items():
                updates[matrix] += [(rule.name, part) for part in as_update(update).parts]
        kind.weight = self._matrix(updates["forward"], transposed=False)
        kind.feedback = self._matrix(updates["feedback"], transposed=True)
        return kind

    def _matrix(self, parts: list[tuple[str, Any]], transposed: bool) -> MatrixUpdate | None:
        if not parts:
            return None
        update = MatrixUpdate([])
        columns: dict[Value, Value] = {}
        fraction: dict[str | None, Value] = {}
        batch = self.make("batch")
        for rule, part in parts:
            if not isinstance(part, Outer | Decay):
                raise NotNative(f"the rule '{rule}' returns an increment for the whole matrix")
            if not isinstance(part.scale, int | float):
                raise NotNative(f"the rule '{rule}' multiplies its update by a computed number")
            theta = self.make("theta", self.thetas.index(rule))
            scale = self.make("mul", theta, self.number(part.scale))
            if isinstance(part, Outer):
                row, column = self._value(part.post), self._value(part.pre)
                if transposed:
                    row, column = column, row
                column = self.make("mul", column, self.make("truediv", scale, batch))
                before = columns.get(row)
                columns[row] = column if before is None else self.make("add", before, column)
            else:
                along = None
                if part.factor is not None:
                    factor = self.make("mean_events", self._value(part.factor))
                    scale = self.make("mul", scale, factor)
                    along = factor.units
                before = fraction.get(along)
                fraction[along] = scale if before is None else self.make("add", before, scale)
        update.products = [RankOne(row, column) for row, column in columns.items()]
        by_column = fraction.pop("pre", None)
        by_row = None
        for value in fraction.values():
            by_row = value if by_row is None else self.make("add", by_row, value)
        update.row_decay, update.column_decay = by_row, by_column
        return update

    # values

    def make(self, operation: str, *arguments: Any) -> Value:
        """Return the value of an operation, the same object for the same arguments."""
        if operation in REDUCTIONS:
            vanishing = REDUCTIONS[operation].over
            if not (arguments[0].events and "events" in vanishing) and not (
                arguments[0].units and "units" in vanishing
            ):
                return arguments[0]  # type: ignore[no-any-return]
        key = (operation, *(id(a) if isinstance(a, Value) else a for a in arguments))
        if key not in self._known:
            self._known[key] = self._new(operation, arguments)
        return self._known[key]

    def _new(self, operation: str, arguments: tuple[Any, ...]) -> Value:
        values = [a for a in arguments if isinstance(a, Value)]
        units = {v.units for v in values} - {None}
        if len(units) > 1:
            raise NotNative("it combines populations of different sizes")
        events = any(v.events for v in values)
        over: str | None = next(iter(units), None)
        level = max((v.level for v in values), default=0)
        if operation == "signal":
            if arguments[0] not in _UNITS:
                raise NotNative(f"it reads '{arguments[0]}' before it is known")
            events, over = True, _UNITS[arguments[0]]
        elif operation == "state":
            over = arguments[1]
        elif operation in REDUCTIONS:
            level += 1
            along = REDUCTIONS[operation].over
            events, over = events and "events" not in along, None if "units" in along else over
        return Value(operation, arguments, events, over, level)

    def number(self, value: float) -> Value:
        """Return a constant."""
        value = float(value)
        if value not in self.constants:
            self.constants.append(value)
        return self.make("number", self.constants.index(value))

    def _signal(self, name: str) -> Value:
        known = self._projection_values.get(name)
        return known if known is not None else self.make("signal", name)

    def _value(self, value: Any) -> Value:
        if isinstance(value, bool | int | float):
            return self.number(value)
        if not isinstance(value, Value):
            raise NotNative(f"it computes with a value of type {type(value).__name__}")
        return value

    # from hooks to values

    def _trace(self, rule: Any, function: Callable[[Any], Any]) -> Any:
        """Return what a hook returns, with `Value`s in the place of tensors."""
        name = rule.spec.name
        try:
            graph, result = _trace_twice(function)
        except Exception as error:  # a rule may do to a proxy what none of them supports
            raise NotNative(f"the rule '{name}' cannot be followed: {_first_line(error)}") from None
        try:
            found = self._convert(graph, rule)
            return _replace(result, fx.Node, found.__getitem__)
        except NotNative as reason:
            raise NotNative(f"the rule '{name}': {reason}") from None

    def _convert(self, graph: fx.Graph, rule: Any) -> dict[fx.Node, Any]:
        shapes = _Shapes(graph.owning_module)
        shapes.run(trial_signals(rule, self.dtype))
        found: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            if node.op == "placeholder":
                found[node] = _SIGNALS
            elif node.op != "output":
                found[node] = self._node(node, found, shapes.seen[node], rule)
        return found

    def _node(self, node: fx.Node, found: dict[fx.Node, Any], trial: Any, rule: Any) -> Any:
        def look(argument: Any) -> Any:
            return found[argument] if isinstance(argument, fx.Node) else argument

        if node.op == "get_attr":
            if isinstance(trial, Tensor) and trial.numel() == 1:
                return self.number(trial.item())
            raise NotNative("it uses a tensor of its own")
        args = fx.map_arg(node.args, lambda n: _Found(look(n)))
        args = _unwrap(args)
        kwargs = _unwrap(fx.map_arg(node.kwargs, lambda n: _Found(look(n))))
        if node.op == "call_function" and node.target is getattr:
            return self._attribute(args, trial, rule)
        operation = node.target if isinstance(node.target, str) else node.target.__name__
        if operation in ("getitem", "size") and isinstance(args[0], Value | tuple):
            return self._size(operation, args)
        if operation == "unsqueeze" and isinstance(trial, Tensor) and trial.dim() == 3:
            return args[0]
        values = arguments_of(operation, args, kwargs)
        if values is None:
            raise NotNative(f"'{operation}' is not among the operations that C is generated for")
        self._check_shape(operation, trial)
        operation, operands = values
        return self.make(operation, *(self._value(v) for v in operands))

    def _attribute(self, args: Sequence[Any], trial: Any, rule: Any) -> Any:
        owner, name = args
        if owner is _SIGNALS:
            if name == "state":
                return _STATE
            if name == "batch":
                return self.make("batch")
            if name in ("weight", "feedback"):
                raise NotNative(f"it reads the matrix '{name}'")
            return self._signal(name)
        if owner is _STATE:
            over = rule.spec.state[name].over
            if over == "weight":
                raise NotNative(f"its state '{name}' is as large as a weight matrix")
            return self.make("state", self.slots.index((rule.name, name)), over)
        if isinstance(owner, Value) and name == "shape":
            return (owner, "shape")
        raise NotNative(f"it reads the attribute '{name}' of a tensor")

    def _size(self, operation: str, args: Sequence[Any]) -> Value:
        owner = args[0][0] if isinstance(args[0], tuple) else args[0]
        if len(args) == 2 and args[1] in (-1, 2) and owner.units is not None:
            return self.make("units", owner.units)
        if len(args) == 2 and args[1] in (1, -2) and owner.events:
            return self.make("batch")
        raise NotNative(f"'{operation}' of this kind is not among the supported operations")

    def _check_shape(self, operation: str, trial: Any) -> None:
        if not isinstance(trial, Tensor):
            return
        if trial.dtype not in (self.dtype, torch.bool):
            raise NotNative(f"'{operation}' gives numbers of type {trial.dtype}")
        if trial.dim() == 3 or trial.dim() == 0 or operation in ("sum", "mean", "amax", "amin"):
            return
        raise NotNative(f"'{operation}' gives a tensor of {trial.dim()} dimensions; expected 3")


_SIGNALS, _STATE = object(), object()


@dataclass(frozen=True)
class _Found:
    """Keeps what a node became from being taken apart by fx."""

    value: Any


def _unwrap(argument: Any) -> Any:
    if isinstance(argument, _Found):
        return argument.value
    if isinstance(argument, tuple | list):
        return tuple(_unwrap(a) for a in argument)
    if isinstance(argument, dict):
        return {key: _unwrap(a) for key, a in argument.items()}
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
    graphs = []
    for _ in range(2):
        tracer = fx.Tracer()
        returned: list[Any] = []

        def call(s: Any) -> None:
            # a proxy of an attribute gets its node when it is first asked for
            returned.append(_replace(function(s), fx.Proxy, lambda proxy: proxy.node))

        graph = tracer.trace(call)
        graph.owning_module = fx.GraphModule(tracer.root, graph)
        graphs.append((graph, returned[0]))
    code = [graph.python_code("self").src for graph, _ in graphs]
    if code[0] != code[1]:
        raise ValueError("it does something else at each call")
    return graphs[0]


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
            raise NotNative("it returns an increment for the whole matrix")
    return Sum(tuple(parts))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
