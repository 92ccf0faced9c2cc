"""From selected rules to plain functions: hooks resolved by pluggy once, reads traced.

Every rule is called once on small random signals. That shows what each hook really reads (so
that nothing else is computed), and finds wrong shapes, undeclared reads and modified inputs
before training begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import pluggy
import torch
from torch import Tensor

from plastic_core.errors import PlasticError, describe_exception, listing
from plastic_core.hookspecs import RuleHooks, TransformHooks
from plastic_core.parameters import Parameters
from plastic_core.plugins import Rule, Transform
from plastic_core.signals import SIGNAL_NAMES, Signals
from plastic_core.specs import RuleSpec
from plastic_core.transforming import Increment
from plastic_core.updates import Decay, Dense, Outer, Update, as_update

# Sizes of the trial call; all different, so that no wrong shape fits by chance.
_REPLICAS, _EVENTS, _POST, _PRE, _OUT = 2, 3, 4, 5, 6


@dataclass(frozen=True, eq=False)
class LocalRule:
    """A rule's local update, resolved.

    Attributes:
        layers: projections that it acts on, counted from 0.
        reads: signals that the function was seen to read.
        first_left: "post" or "error" where that signal is its first left factor.
    """

    name: str
    spec: RuleSpec
    function: Callable[[Signals], Any]
    layers: frozenset[int]
    reads: frozenset[str]
    first_left: str | None


@dataclass(frozen=True)
class Hooks:
    """The hooks of one run as plain functions.

    Attributes:
        forward: functions with the projections on which they act; the first that returns
            something gives z, and where none does it is W y.
        propagate: None where no error is propagated.
        propagator: the rule that `propagate` belongs to.
        propagate_reads: signals that `propagate` was seen to read.
        gated: whether the propagated error is multiplied by sigma'.
        feedback: None, "layer" or "output": the matrices that the rules need.
        local: in the order of the expression.
        transforms: by name, in order.
    """

    forward: tuple[tuple[frozenset[int], Callable[[Signals], Tensor | None]], ...]
    propagate: Callable[[Signals], Tensor] | None
    propagator: Rule | None
    propagate_reads: frozenset[str]
    gated: bool
    feedback: str | None
    local: tuple[LocalRule, ...]
    transforms: tuple[tuple[str, Transform, Callable[[Any], Any]], ...]

    def forward_at(self, projection: int) -> Callable[[Signals], Tensor | None] | None:
        """Return what gives z at one projection, or None for the default, z = W y."""
        return _first_result([f for layers, f in self.forward if projection in layers])

    def add_states(self, parameters: Parameters) -> None:
        """Allocate the states of the rules and transforms where they act."""
        for rule in self.local:
            for projection in rule.layers:
                parameters.add_state(rule.name, projection, rule.spec.state)
        modified = {m for rule in self.local for m in rule.spec.modifies}
        for name, transform, _ in self.transforms:
            for matrix in modified:
                for projection in range(len(parameters.weights)):
                    owner = f"{name}.{matrix}"
                    parameters.add_state(owner, projection, transform.spec.state, matrix)


def resolve_hooks(
    rules: Sequence[tuple[Rule, frozenset[int]]],
    transforms: Sequence[Transform] = (),
    dtype: torch.dtype = torch.float32,
) -> Hooks:
    """Resolve the hooks of the selected rules, each with the projections that it acts on.

    Raises:
        PlasticError: a hook raises, reads what its rule does not declare, modifies its input,
            or returns something of a wrong kind or shape.
    """
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(RuleHooks)
    # pluggy calls the plugin registered last first
    for rule, _ in reversed(rules):
        manager.register(rule, name=rule.spec.name)
    layers = {rule.spec.name: where for rule, where in rules}

    def implementations(hook: str) -> list[tuple[Rule, Callable[[Signals], Any]]]:
        found = getattr(manager.hook, hook).get_hookimpls()
        return [(impl.plugin, impl.function) for impl in reversed(found)]

    forwards = implementations("plastic_forward")
    for rule, function in forwards:
        _Trial(rule, dtype).forward(function)
    propagators = implementations("plastic_propagate_error")
    propagate_reads: frozenset[str] = frozenset()
    for rule, function in propagators:
        propagate_reads |= _Trial(rule, dtype).propagate(function)
    local = []
    for rule, function in implementations("plastic_local_update"):
        reads, first_left = _Trial(rule, dtype).local(function)
        name = rule.spec.name
        local.append(LocalRule(name, rule.spec, function, layers[name], reads, first_left))
    return Hooks(
        forward=tuple((layers[rule.spec.name], function) for rule, function in forwards),
        propagate=propagators[0][1] if propagators else None,
        propagator=propagators[0][0] if propagators else None,
        propagate_reads=propagate_reads,
        gated=all(rule.spec.gated for rule, _ in propagators),
        feedback=next((rule.spec.feedback for rule, _ in rules if rule.spec.feedback), None),
        local=tuple(local),
        transforms=_resolve_transforms(transforms),
    )


def _resolve_transforms(
    transforms: Sequence[Transform],
) -> tuple[tuple[str, Transform, Callable[[Any], Any]], ...]:
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(TransformHooks)
    for transform in reversed(transforms):
        manager.register(transform, name=transform.spec.name)
    found: Any = list(reversed(manager.hook.plastic_transform_update.get_hookimpls()))
    for impl in found:
        _try_transform(impl.plugin, impl.function)
    return tuple((impl.plugin.spec.name, impl.plugin, impl.function) for impl in found)


def _try_transform(transform: Transform, function: Callable[[Any], Any]) -> None:
    """Call a transform once on small random tensors.

    Raises:
        PlasticError: it raises, modifies what it is given, or returns a wrong shape.
    """
    source = torch.Generator().manual_seed(0)
    increment, weight = torch.rand(2, _REPLICAS, _POST, _PRE, generator=source)
    sizes = {"post": (1, _POST), "pre": (1, _PRE), "weight": (_POST, _PRE)}
    state = SimpleNamespace(
        **{
            name: torch.full((_REPLICAS, *sizes[kind.over]), kind.initial)
            for name, kind in transform.spec.state.items()
        }
    )
    before = increment.clone(), weight.clone()
    what = f"the transform '{transform.spec.name}': plastic_transform_update"
    try:
        result = function(Increment(increment, weight, state))
        if transform.spec.state:
            result, new = result
            if new.keys() != transform.spec.state.keys():
                raise ValueError(f"the states {listing(new)} were returned")
    except Exception as error:
        raise PlasticError(f"{what} raised {describe_exception(error)}") from error
    if not (torch.equal(before[0], increment) and torch.equal(before[1], weight)):
        raise PlasticError(f"{what} modifies its input in place; return the new increment")
    if not isinstance(result, Tensor) or result.shape != weight.shape:
        shape = list(result.shape) if isinstance(result, Tensor) else _kind(result)
        raise PlasticError(
            f"{what} returned {shape}; expected the new increment, here {list(weight.shape)}"
        )


def trial_signals(rule: Rule | LocalRule, dtype: torch.dtype) -> SimpleNamespace:
    """Return small random signals in which all sizes differ, such as a hook is tried with."""
    return SimpleNamespace(**_Trial(rule, dtype).values)


def _first_result(functions: list[Callable[[Signals], Any]]) -> Callable[[Signals], Any] | None:
    """Return what pluggy's first-result call does, without its cost; None for no function."""
    if len(functions) < 2:
        return functions[0] if functions else None

    def first(s: Signals) -> Any:
        for function in functions:
            result = function(s)
            if result is not None:
                return result
        return None

    return first


class _Recorder:
    """Signals that note what is read and refuse what the rule does not declare."""

    def __init__(self, rule: Rule | LocalRule, values: dict[str, Any]) -> None:
        self._rule, self._values, self.seen = rule, values, set[str]()

    def __getattr__(self, name: str) -> Any:
        spec = self._rule.spec
        if name in SIGNAL_NAMES:
            if name not in spec.reads:
                raise PlasticError(
                    f"the rule '{spec.name}' reads the signal '{name}', which its spec does not "
                    f"declare; add '{name}' to reads={sorted(spec.reads)}"
                )
            self.seen.add(name)
        if name == "state" and name not in self._values:
            raise AttributeError("only plastic_local_update has a state")
        if name not in self._values:
            raise AttributeError(
                f"there is no signal '{name}' here; there are {listing(self._values)}"
            )
        return self._values[name]


class _Trial:
    """One call of one hook on small random signals."""

    def __init__(self, rule: Rule | LocalRule, dtype: torch.dtype) -> None:
        self.rule, self.spec = rule, rule.spec
        source = torch.Generator().manual_seed(0)

        def rand(*shape: int) -> Tensor:
            return torch.rand(_REPLICAS, *shape, generator=source, dtype=dtype)

        pre, post = (_EVENTS, _PRE), (_EVENTS, _POST)
        columns = _OUT if self.spec.feedback == "output" else _POST
        state = {"post": (1, _POST), "pre": (1, _PRE), "weight": (_POST, _PRE)}
        self.shapes: Final = {
            name: (_REPLICAS, *state[kind.over]) for name, kind in self.spec.state.items()
        }
        self.values: dict[str, Any] = {
            **{name: rand(*pre) for name in ("pre", "source", "recon", "pre_error")},
            **{name: rand(*pre) for name in ("weight_error", "feedback_error")},
            **{name: rand(*post) for name in ("post", "error")},
            "output_error": rand(_EVENTS, _OUT),
            "weight": rand(_POST, _PRE),
            "feedback": rand(_PRE, columns),
            "batch": _EVENTS,
            "state": SimpleNamespace(
                **{name: rand(*shape[1:]) for name, shape in self.shapes.items()}
            ),
        }

    def forward(self, function: Callable[..., Any]) -> None:
        self.values = {k: self.values[k] for k in ("pre", "weight", "batch")}
        z, _ = self._call("plastic_forward", function)
        if z is not None:
            self._check("plastic_forward", "z", z, (_REPLICAS, _EVENTS, _POST), "[R, K, n_post]")

    def propagate(self, function: Callable[..., Any]) -> frozenset[str]:
        hook = "plastic_propagate_error"
        del self.values["state"]  # carried by the local update alone
        arrived, seen = self._call(hook, function)
        self._check(hook, "the error", arrived, (_REPLICAS, _EVENTS, _PRE), "[R, K, n_pre]")
        return seen

    def local(self, function: Callable[..., Any]) -> tuple[frozenset[str], str | None]:
        hook = "plastic_local_update"
        result, seen = self._call(hook, function)
        if self.spec.state:
            result = self._check_state(hook, result)
        updates = (
            result if len(self.spec.modifies) > 1 else {next(iter(self.spec.modifies)): result}
        )
        if not isinstance(updates, dict) or updates.keys() != self.spec.modifies:
            raise self._fault(
                hook, f"returned {_kind(result)}", "{'forward': update, 'feedback': update}"
            )
        for matrix, update in updates.items():
            self._check_update(hook, matrix, update)
        first = next((p.post for u in updates.values() for p in _outers(u)), None)
        names = (name for name in ("post", "error") if first is self.values[name])
        return seen, next(names, None)

    def _call(self, hook: str, function: Callable[..., Any]) -> tuple[Any, frozenset[str]]:
        before = {k: v.clone() for k, v in self.values.items() if isinstance(v, Tensor)}
        recorder = _Recorder(self.rule, self.values)
        try:
            result = function(recorder)
        except PlasticError:
            raise
        except Exception as error:
            raise PlasticError(
                f"the rule '{self.spec.name}': {hook} raised {describe_exception(error)}"
            ) from error
        for name, value in before.items():
            if not torch.equal(value, self.values[name]):
                raise PlasticError(
                    f"the rule '{self.spec.name}': {hook} modifies the signal '{name}' in place; "
                    "return the increment and let the engine add it"
                )
        return result, frozenset(recorder.seen)

    def _check_state(self, hook: str, result: Any) -> Any:
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise self._fault(hook, f"returned {_kind(result)}", "(update, {name: new state})")
        update, new = result
        if new.keys() != self.shapes.keys():
            raise self._fault(
                hook, f"returned the states {listing(new)}", f"the states {listing(self.shapes)}"
            )
        for name, value in new.items():
            over = self.spec.state[name].over
            shape = "[R, n_post, n_pre]" if over == "weight" else f"[R, 1, n_{over}]"
            self._check(hook, f"the state '{name}'", value, self.shapes[name], shape)
        return update

    def _check_update(self, hook: str, matrix: str, update: Any) -> None:
        if not isinstance(update, Update | Tensor):
            raise self._fault(
                hook, f"returned {_kind(update)}", "outer(a, b), decay(), sums of them, or a tensor"
            )
        rows, columns = _POST, _PRE
        names = ("n_post", "n_pre")
        if matrix == "feedback":
            rows, columns = self.values["feedback"].shape[1:]
            names = ("n_pre", "n_L" if self.spec.feedback == "output" else "n_post")
        for part in as_update(update).parts:
            if not isinstance(part.scale, int | float):
                raise self._fault(
                    hook,
                    f"multiplied an update by {_kind(part.scale)}",
                    "a number there; multiply a factor of outer() by it",
                )
            if isinstance(part, Outer):
                left, right = (_REPLICAS, _EVENTS, rows), (_REPLICAS, _EVENTS, columns)
                self._check(hook, "the left factor", part.post, left, f"[R, K, {names[0]}]")
                self._check(hook, "the right factor", part.pre, right, f"[R, K, {names[1]}]")
            elif isinstance(part, Decay):
                if part.factor is not None:
                    shape = (_REPLICAS, _EVENTS, rows)
                    self._check(hook, "the decay factor", part.factor, shape, f"[R, K, {names[0]}]")
            elif isinstance(part, Dense):
                full = f"[R, {names[0]}, {names[1]}]"
                self._check(hook, "the update", part.value, (_REPLICAS, rows, columns), full)

    def _check(self, hook: str, what: str, value: Any, shape: tuple[int, ...], named: str) -> None:
        if not isinstance(value, Tensor):
            raise self._fault(hook, f"returned {what} as {_kind(value)}", f"a tensor {named}")
        if tuple(value.shape) != shape:
            raise self._fault(
                hook,
                f"returned {what} of shape {list(value.shape)}",
                f"{named}, here {list(shape)} "
                f"(R={_REPLICAS}, K={_EVENTS}, n_post={_POST}, n_pre={_PRE})",
            )

    def _fault(self, hook: str, found: str, expected: str) -> PlasticError:
        return PlasticError(f"the rule '{self.spec.name}': {hook} {found}; expected {expected}")


def _outers(update: Update | Tensor) -> list[Outer]:
    return [part for part in as_update(update).parts if isinstance(part, Outer)]


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
