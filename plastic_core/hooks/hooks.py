"""From selected rules to plain functions: hooks resolved by pluggy once, each tried once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import pluggy
import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit, Send
from plastic_core.api.hookspecs import RuleHooks, TransformHooks
from plastic_core.api.plugin import Rule, Transform
from plastic_core.api.signals import Signals
from plastic_core.api.site import Site
from plastic_core.api.specs import RuleSpec, Settle
from plastic_core.base.errors import PlasticError, listing
from plastic_core.hooks.failure import guarded
from plastic_core.hooks.own import Own
from plastic_core.hooks.result import split_result
from plastic_core.hooks.transform_trial import try_transform
from plastic_core.hooks.trial import Trial
from plastic_core.hooks.tried_signals import SOMEWHERE


@dataclass(frozen=True, eq=False)
class LocalRule:
    """A rule's local update, resolved.

    Attributes:
        name: of the rule.
        theta: name of what its update is multiplied by; that of the rule, unless some layers have
            one of their own.
        layers: projections that it acts on, counted from 0.
        reads: signals that the function was seen to read.
        later: those that it was seen to read of the passes behind the first.
        asked: what it asks about where it is called; the answers are the same in all `layers`.
    """

    name: str
    theta: str
    spec: RuleSpec
    function: Callable[[Signals], Any]
    layers: frozenset[int]
    reads: frozenset[str]
    asked: frozenset[str] = frozenset()
    later: tuple[frozenset[str], ...] = ()

    def reads_in(self, index: int) -> frozenset[str]:
        """Return the signals that it reads of a pass."""
        return (self.reads, *self.later)[index] if index <= len(self.later) else frozenset()

    def update(self, s: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Call the function; return the update of each matrix, and the new values of the states."""
        return self._split(self.function(s))

    @cached_property
    def owns(self) -> bool:
        """Whether it has states, thetas or noise of its own."""
        return bool(self.spec.state or self.spec.thetas or self.spec.noise)

    @cached_property
    def _split(self) -> Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]:
        matrices = [*self.spec.modifies]
        if len(matrices) == 1 and not self.spec.state:  # as most are
            return lambda result: ({matrices[0]: result}, {})
        return partial(split_result, self.spec)


class Shown(NamedTuple):
    """What a pass showed, and what it came to.

    Attributes:
        s: signals of the first projection, a sample to an event.
        x: what the first pass showed.
        target: of the samples.
        comes: which pass comes next.
    """

    s: Any
    x: Any
    target: Any
    comes: int


@dataclass(frozen=True)
class Hooks:
    """The hooks of one run as plain functions.

    Attributes:
        forward: rules with the projections on which they act, and their functions; the first
            that returns something gives z, and where none does it is W y.
        propagate: None where no error is propagated.
        propagator: the rule that `propagate` belongs to.
        propagate_reads: signals that `propagate` was seen to read, anywhere.
        propagate_asked: what it asks about where it is called.
        forward_asked: the same of `forward`.
        passes: how often something is shown in an update.
        input: says what the passes behind the first show, or None for the same.
        settle: how the network settles, or None.
        settler: the rule that says so, and its hook.
        inputter: the rule that `input` belongs to.
        input_reads: signals of the first projection that `input` was seen to read.
        gated: whether the propagated error is multiplied by sigma'.
        feedback: None, "layer" or "output": the matrices that the rules need.
        local: in the order of the expression.
        transforms: by name, in order, with the projections that they act on; None for all.
        unrepeatable: rules and transforms of which a hook draws random numbers of torch, or gives
            other numbers when it is called again.
    """

    forward: tuple[tuple[Rule, frozenset[int], Callable[[Signals], Tensor | None]], ...]
    propagate: Callable[[Signals], Tensor] | None
    propagator: Rule | None
    propagate_reads: frozenset[str]
    gated: bool
    feedback: str | None
    local: tuple[LocalRule, ...]
    transforms: tuple[tuple[str, Transform, Callable[[Any], Any], frozenset[int] | None], ...]
    unrepeatable: tuple[str, ...] = ()
    propagate_asked: frozenset[str] = frozenset()
    forward_asked: frozenset[str] = frozenset()
    passes: int = 1
    input: Callable[[Signals], Tensor | None] | None = None
    inputter: Rule | None = None
    input_reads: frozenset[str] = frozenset()
    settle: Settle | None = None
    settler: tuple[Rule, Callable[[Signals], Any]] | None = None

    def guarded(self) -> Hooks:
        """Return the same hooks, which say where they fail whose they are."""

        def named(hook: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            # pluggy gives bound methods, whose type does not say so
            rule: Any = function.__self__  # type: ignore[attr-defined]
            return guarded(f"rule '{rule.spec.name}'", hook, function)

        propagate, hook = self.propagate, "plastic_local_update"
        return replace(
            self,
            forward=tuple(
                (rule, layers, named("plastic_forward", f)) for rule, layers, f in self.forward
            ),
            input=self.input and named("plastic_input", self.input),
            propagate=propagate and named("plastic_propagate_error", propagate),
            settler=self.settler and (self.settler[0], named("plastic_settle", self.settler[1])),
            local=tuple(
                replace(
                    rule, function=guarded(f"rule '{rule.name}'", hook, rule.function, rule.spec)
                )
                for rule in self.local
            ),
            transforms=tuple(
                (
                    name,
                    one,
                    guarded(f"transform '{name}'", "plastic_transform_update", function),
                    layers,
                )
                for name, one, function, layers in self.transforms
            ),
        )

    def transforms_at(self, projection: int) -> list[tuple[str, Transform, Callable[[Any], Any]]]:
        """Return the transforms of the increments of one projection, in order."""
        return [
            (name, transform, function)
            for name, transform, function, layers in self.transforms
            if layers is None or projection in layers
        ]

    def forward_of(self, send: Send, own: Own) -> Callable[[Signals], Tensor | None] | None:
        """Return what gives z of one sending, or None for the default, z = W y."""
        return _first_result(
            [
                own.given(rule.spec, send, function, forward=True)
                for rule, layers, function in self.forward
                if send.projection in layers
            ]
        )

    def settle_of(self, send: Send, own: Own) -> Callable[[Signals], Any]:
        """Return what gives the next z of the population that one sending leads to."""
        assert self.settler is not None
        rule, function = self.settler
        return own.given(rule.spec, send, function, forward=True)

    def shown_next(self, shown: Shown, own: Own, send: Send) -> Any:
        """Return what a pass shows, ``[R, K, n_0]``.

        Args:
            shown: in the pass before.
            own: gives each rule what belongs to it.
            send: the first of the first projection.
        """
        if self.inputter is None or self.input is None:
            return shown.x
        s, target = shown.s, getattr(shown.s, "target", None)
        s.input, s.target, s.pass_index = shown.x, shown.target, shown.comes
        new = own.given(self.inputter.spec, send, self.input, forward=True)(s)
        s.pass_index = shown.comes - 1
        if target is not None:
            s.target = target  # which may be repeated at each place
        return shown.x if new is None else new

    def propagate_of(self, send: Send, own: Own) -> Callable[[Signals], Tensor]:
        """Return what propagates the error of one sending."""
        assert self.propagate is not None
        if self.propagator is None:  # as of plain backpropagation, which is compared with
            return self.propagate
        return own.given(self.propagator.spec, send, self.propagate)


def resolve_hooks(
    rules: Sequence[tuple[Rule, frozenset[int]]],
    transforms: Sequence[Transform] = (),
    dtype: torch.dtype = torch.float32,
    theta_layers: Mapping[str, Mapping[str, frozenset[int]]] | None = None,
    circuit: Circuit | None = None,
    transform_layers: Mapping[str, frozenset[int]] | None = None,
) -> Hooks:
    """Resolve the hooks of the selected rules, each with the projections that it acts on.

    Args:
        rules: with their projections, counted from 0.
        transforms: in order.
        dtype: in which the hooks are tried.
        theta_layers: by rule the thetas that some of its projections have for themselves.
        circuit: the network; rules need it that ask where in it they are.
        transform_layers: the projections of the transforms that do not act on all.

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

    unrepeatable: dict[str, None] = {}

    def ended(name: str, repeatable: bool) -> None:
        if not repeatable:
            unrepeatable[name] = None

    def tried(hook: str, rule: Rule, function: Callable[[Any], Any]) -> list[_Tried]:
        sites = None if circuit is None else circuit.sites
        restricted = hook in ("plastic_forward", "plastic_local_update")
        where = layers[rule.spec.name] if restricted else None
        return _try(hook, rule, function, dtype, sites, where, ended)

    forwards = implementations("plastic_forward")
    forward_tried = [one for found in forwards for one in tried("plastic_forward", *found)]
    inputs = implementations("plastic_input")
    inputs_tried = [one for found in inputs for one in tried("plastic_input", *found)]
    propagators = implementations("plastic_propagate_error")
    propagations = [
        one for found in propagators for one in tried("plastic_propagate_error", *found)
    ]
    settlers = implementations("plastic_settle")
    for found in settlers:
        tried("plastic_settle", *found)
    local = []
    for rule, function in implementations("plastic_local_update"):
        name = rule.spec.name
        own = (theta_layers or {}).get(name, {})
        rest = layers[name].difference(*own.values())
        parts = {**({name: rest} if rest or not own else {}), **own}
        alike = tried("plastic_local_update", rule, function)
        local += [
            LocalRule(name, theta, rule.spec, function, acts, one.reads, one.asked, one.later)
            for theta, where in parts.items()
            for one in alike
            if (acts := where & one.layers) or len(alike) == 1
        ]
    return Hooks(
        forward=tuple((rule, layers[rule.spec.name], function) for rule, function in forwards),
        propagate=propagators[0][1] if propagators else None,
        propagator=propagators[0][0] if propagators else None,
        propagate_reads=frozenset[str]().union(*(one.reads for one in propagations)),
        forward_asked=frozenset[str]().union(*(one.asked for one in forward_tried)),
        propagate_asked=frozenset[str]().union(*(one.asked for one in propagations)),
        gated=all(rule.spec.gated for rule, _ in propagators),
        feedback=next((rule.spec.feedback for rule, _ in rules if rule.spec.feedback), None),
        passes=max((rule.spec.passes for rule, _ in rules), default=1),
        input=inputs[0][1] if inputs else None,
        inputter=inputs[0][0] if inputs else None,
        input_reads=frozenset[str]().union(*(one.reads for one in inputs_tried)),
        settle=settlers[0][0].spec.settle if settlers else None,
        settler=settlers[0] if settlers else None,
        local=tuple(local),
        transforms=_resolve_transforms(transforms, ended, transform_layers or {}),
        unrepeatable=tuple(unrepeatable),
    )


class _Tried(NamedTuple):
    """What a hook was seen to read, and to ask, at projections that are alike to it."""

    layers: frozenset[int]
    reads: frozenset[str]
    asked: frozenset[str]
    later: tuple[frozenset[str], ...] = ()


def _try(
    hook: str,
    rule: Rule,
    function: Callable[[Any], Any],
    dtype: torch.dtype,
    sites: Sequence[Site] | None,
    layers: frozenset[int] | None,
    ended: Callable[[str, bool], None],
) -> list[_Tried]:
    """Try a hook, and at each projection for itself where it asks where it is.

    Args:
        hook: its name.
        rule: whose it is.
        function: the hook.
        dtype: in which it is tried.
        sites: of all projections, or None.
        layers: the projections that it acts on; None for all.
        ended: told the name of the rule, and whether it gave the same again.

    Raises:
        PlasticError: see `resolve_hooks`.
    """
    faults: dict[str, None] = {}

    def tried(site: Site, layers: frozenset[int]) -> _Tried:
        trial = Trial(rule, dtype, site)
        reads = trial.tried(hook, function)
        faults.update({f"the rule '{rule.spec.name}': {fault}": None for fault in trial.faults})
        ended(rule.spec.name, trial.repeatable)
        return _Tried(layers, reads, frozenset(trial.asked), trial.later)

    found = [tried(SOMEWHERE, layers or frozenset())]
    if asked := found[0].asked:
        faults.clear()  # of what it does nowhere
        if sites is None:
            raise PlasticError(
                f"the rule '{rule.spec.name}' asks where it is ({listing(sorted(asked))}); give "
                "resolve_hooks the circuit"
            )
        where = range(len(sites)) if layers is None else sorted(layers)
        at_each = {p: tried(sites[p], frozenset({p})) for p in where}
        asked = asked.union(*(one.asked for one in at_each.values()))
        alike: dict[Any, list[int]] = {}
        for p in where:
            alike.setdefault(sites[p].answers(asked), []).append(p)
        found = [
            at_each[ps[0]]._replace(layers=frozenset(ps), asked=asked) for ps in alike.values()
        ]
    if faults:
        raise PlasticError("\n".join(faults))
    return found


def _resolve_transforms(
    transforms: Sequence[Transform],
    ended: Callable[[str, bool], None],
    layers: Mapping[str, frozenset[int]],
) -> tuple[tuple[str, Transform, Callable[[Any], Any], frozenset[int] | None], ...]:
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(TransformHooks)
    for transform in reversed(transforms):
        manager.register(transform, name=transform.spec.name)
    found: Any = list(reversed(manager.hook.plastic_transform_update.get_hookimpls()))
    for impl in found:
        ended(impl.plugin.spec.name, try_transform(impl.plugin, impl.function))
    return tuple(
        (name := impl.plugin.spec.name, impl.plugin, impl.function, layers.get(name))
        for impl in found
    )


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
