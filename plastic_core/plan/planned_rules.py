"""The rules of a run: which they are, where they act, and with which theta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import digits
from typing import Any

from plastic_core.api.circuit import Apply, Circuit
from plastic_core.api.plugin import Rule
from plastic_core.api.signals import SETTLED_SIGNALS
from plastic_core.api.specs import TaskSpec, Theta
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.plan.expression import Term, taken_away
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.schedule import Schedule, read_theta
from plastic_core.plugins.catalogue import Catalogue, Entry
from plastic_core.plugins.params import set_params


@dataclass(frozen=True)
class LayerTheta:
    """A theta of a rule's own in some layers.

    Attributes:
        name: of the theta, such as "oja.conv1".
        theta: the coefficient.
        layers: counted from 1.
        schedule: how it changes over the run; None where it does not.
    """

    name: str
    theta: float
    layers: tuple[int, ...]
    schedule: Schedule | None = None


@dataclass(frozen=True)
class PlannedRule:
    """One rule of a run.

    Attributes:
        rule: the instance, its parameters set.
        theta: the coefficient that the engine multiplies its update with.
        origin: where theta comes from, for the record.
        layers: the weight matrices that it acts on, counted from 1.
        by_layer: coefficients of its own in some of them.
        own: the thetas by which the rule multiplies itself, where it has several; `theta` is 1
            then.
        schedules: by name, of the thetas that change over the run.
    """

    entry: Entry
    rule: Rule
    theta: float
    origin: str
    layers: tuple[int, ...]
    by_layer: tuple[LayerTheta, ...] = ()
    own: Mapping[str, float] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The public name."""
        return self.entry.name

    @property
    def thetas(self) -> dict[str, float]:
        """All of its thetas by name; that of the rule is called as the rule."""
        by_layer = {one.name: one.theta for one in self.by_layer}
        own = {f"{self.name}.{name}": theta for name, theta in self.own.items()}
        return {self.name: self.theta, **by_layer, **own}

    def written(self, name: str) -> float | str:
        """Return one of its thetas as a setting has it: a number, or a schedule's text."""
        theta = self.thetas[name]
        return self.schedules[name].text(theta) if name in self.schedules else theta

    def shown(self, name: str) -> str:
        """Return one of its thetas for readers: a number of few digits, or a schedule's text."""
        theta = self.written(name)
        return theta if isinstance(theta, str) else f"{theta:g}"

    @property
    def learnable(self) -> dict[str, tuple[float, Theta]]:
        """Its thetas by name, with what is accepted: its own ones, or those that layers have."""
        spec = self.rule.spec
        if self.own:
            return {f"{self.name}.{n}": (t, spec.theta_of(n)) for n, t in self.own.items()}
        by_layer = {one.name: (one.theta, spec.theta_of()) for one in self.by_layer}
        others = {*self.layers}.difference(*(one.layers for one in self.by_layer))
        return {**({self.name: (self.theta, spec.theta_of())} if others else {}), **by_layer}


def find_rule(catalogue: Catalogue, name: str) -> Entry:
    """Return the entry of a rule.

    Raises:
        PlasticError: there is none of that name; says how a difference of rules is written.
    """
    known = set(catalogue.names("rule"))
    if name not in known:
        for i in (i for i, letter in enumerate(name) if letter == "-"):
            first, second = name[:i], name[i + 1 :]
            if known.issuperset((first, second)):
                raise PlasticError(
                    f"there is no rule '{name}'; rules are added: write {first}+{second}\n"
                    f"  {taken_away(second)}"
                )
    return catalogue.find("rule", name)


def plan_rules(
    spec: RunSpec,
    terms: tuple[Term, ...],
    entries: list[Entry],
    task: TaskSpec | None,
    circuit: Circuit,
) -> tuple[PlannedRule, ...]:
    """Return the rules of an expression, each with its theta and its layers.

    Raises:
        PlasticError: a theta or a layer that is none, or a setting of nothing.
    """
    names = frozenset(entry.name for entry in entries)
    if len(names) < len(entries):
        raise PlasticError(f"rule expression {spec.rule!r}: two of its rules have the same name")
    recommendations = task.recommended if task else ()
    recommended = next((r.thetas for r in recommendations if r.applies(names, circuit)), {})
    planned = []
    for term, entry in zip(terms, entries, strict=True):
        assert entry.plugin is not None
        rule: Rule = entry.plugin()
        settings = dict(spec.settings.get(entry.name, {}))
        if rule.spec.thetas:
            read, origin = _plan_own(rule, term, settings)
            own = {name: value for name, (value, _) in read.items()}
            over_time = {f"{entry.name}.{name}": schedule for name, (_, schedule) in read.items()}
            layers = _plan_layers(entry.name, rule, settings.pop("layers", None), circuit)
            also = ("layers", *(f"theta.{name}" for name in rule.spec.thetas))
            set_params(entry, rule, settings, also)
            some = _scheduled(over_time)
            planned.append(PlannedRule(entry, rule, 1.0, origin, layers, (), own, some))
            continue
        theta, given = rule.spec.theta_of(), settings.pop("theta", None)
        asked: Any
        if term.coefficient is not None:
            if given is not None:
                raise PlasticError(
                    f"theta of '{entry.name}' is given twice: {term.coefficient:g} in the "
                    f"expression and {given} as a setting; keep one"
                )
            asked, origin = term.coefficient, "expression"
        elif given is not None:
            asked, origin = given, "setting"
        elif task and entry.name in recommended:
            asked, origin = recommended[entry.name], f"recommended by {task.name}"
        else:
            asked, origin = theta.default, "default of the rule"
        value, schedule = read_theta(entry.name, theta, asked)
        layers = _plan_layers(entry.name, rule, settings.pop("layers", None), circuit)
        by_layer = _plan_thetas(entry.name, theta, settings, layers, circuit)
        some = _scheduled({entry.name: schedule, **{one.name: one.schedule for one in by_layer}})
        set_params(entry, rule, settings, ("theta", "layers"))
        planned.append(PlannedRule(entry, rule, value, origin, layers, by_layer, schedules=some))
    return tuple(planned)


def _scheduled(schedules: Mapping[str, Schedule | None]) -> dict[str, Schedule]:
    """Return the schedules of those thetas that have one."""
    return {name: one for name, one in schedules.items() if one is not None}


def _plan_own(
    rule: Rule, term: Term, settings: dict[str, Any]
) -> tuple[dict[str, tuple[float, Schedule | None]], str]:
    """Take the thetas of a rule that has several out of its settings; return them, and whence.

    Raises:
        PlasticError: it is given one coefficient, or one of them is not accepted.
    """
    name, thetas = rule.spec.name, rule.spec.thetas
    if term.coefficient is not None or "theta" in settings:
        first, theta = next(iter(thetas.items()))
        raise PlasticError(
            f"'{name}' has several thetas, {listing(thetas)}, by which it multiplies itself; write "
            f"it without a coefficient, and --set {name}.theta.{first}={theta.default:g}"
        )
    given = {one for one in thetas if f"theta.{one}" in settings}
    own = {
        one: read_theta(f"{name}.theta.{one}", theta, settings.pop(f"theta.{one}", theta.default))
        for one, theta in thetas.items()
    }
    return own, "setting" if given else "default of the rule"


def _plan_thetas(
    name: str, theta: Theta, settings: dict[str, Any], layers: tuple[int, ...], circuit: Circuit
) -> tuple[LayerTheta, ...]:
    """Take the thetas of single layers out of the settings of a rule, and return them."""
    found: list[tuple[bool, LayerTheta]] = []
    taken: dict[tuple[int, bool], str] = {}
    for key in [key for key in settings if key.startswith("theta.")]:
        given = key.removeprefix("theta.")
        here = [layer for layer in _layers_called(given, circuit) if layer in layers]
        if not here:
            acts = [circuit.layer_names[layer - 1] for layer in layers]
            whole = [layer.split(".")[0] for layer in acts]
            kinds = dict.fromkeys(layer.rstrip(digits) for layer in whole if layer[-1].isdigit())
            known = {*acts, *whole, *kinds}
            of_kind = f", or all of a kind: {', '.join(kinds)}" if kinds else ""
            raise PlasticError(
                f"{key} of '{name}': it acts on no layer '{given}'{did_you_mean(given, known)}\n"
                f"  it acts on {', '.join(acts)}{of_kind}"
            )
        single = {part for layer in circuit.layer_names for part in (layer, layer.split(".")[0])}
        general = given not in single and not given.isdecimal()
        for layer in here:
            other = taken.setdefault((layer, general), key)
            if other != key:
                raise PlasticError(
                    f"theta of '{name}' in {circuit.layer_names[layer - 1]} is given twice: by "
                    f"{other} and {key}; keep one"
                )
        value, schedule = read_theta(f"{name}.{key}", theta, settings.pop(key))
        found.append((general, LayerTheta(f"{name}.{given}", value, tuple(here), schedule)))
    # that of a kind of layers is for those that have none of their own
    own = {layer for layer, general in taken if not general}
    parts = [
        replace(one, layers=tuple(layer for layer in one.layers if not (general and layer in own)))
        for general, one in found
    ]
    return tuple(one for one in parts if one.layers)


def _layers_called(name: str, circuit: Circuit) -> list[int]:
    """Return the layers called "conv1", "attention1" (four of them), "conv" (all) or "2"."""
    found = []
    for layer, own in enumerate(circuit.layer_names, start=1):
        whole = own.split(".")[0]
        if name in (own, whole, whole.rstrip(digits), str(layer)):
            found.append(layer)
    return found


def _plan_layers(name: str, rule: Rule, value: Any, circuit: Circuit) -> tuple[int, ...]:
    """Return the layers on which a rule acts: all of them, those asked for, or those allowed."""
    layers = parse_layers(name, value, circuit)
    if rule.spec.propagates:
        return layers
    allowed = tuple(layer for layer in layers if layer not in circuit.gradient_only)
    if value is not None and allowed != layers:
        everywhere = range(1, circuit.depth + 1)
        taken = [str(layer) for layer in everywhere if layer in circuit.gradient_only]
        free = [str(layer) for layer in everywhere if layer not in circuit.gradient_only]
        raise PlasticError(
            f"layers of '{name}' = {value!r}: in this network the layers {listing(taken)} learn by "
            f"the rule that propagates the error alone; expected {listing(free)}"
        )
    return allowed


def parse_layers(name: str, value: Any, circuit: Circuit) -> tuple[int, ...]:
    """Return the layers of a setting such as "1-4", "conv1,5", 3 or [2, 5]; all for None.

    Raises:
        PlasticError: it names none.
    """
    depth = circuit.depth
    if value is None:
        return tuple(range(1, depth + 1))
    layers: set[int] = set()
    try:
        for part in value if isinstance(value, list) else str(value).split(","):
            part = str(part).strip()
            if called := _layers_called(part, circuit):
                layers |= {*called}
                continue
            first, _, last = part.partition("-")
            ends = int(first), int(last or first)
            if not 1 <= ends[0] <= ends[1] <= depth:
                raise ValueError
            layers |= set(range(ends[0], ends[1] + 1))
    except ValueError:
        layers = set()
    if not layers:
        raise PlasticError(
            f"layers of '{name}' = {value!r}: expected layers from 1 to {depth}, such as "
            f"1-{depth} or 1,{depth}, or their names: {', '.join(circuit.layer_names)}"
        )
    return tuple(sorted(layers))


def check_together(rules: tuple[PlannedRule, ...], catalogue: Catalogue, circuit: Circuit) -> None:
    """Check that the rules go together, and with the network.

    Raises:
        PlasticError: two propagate the error or none does, their feedback matrices differ, or one
            modifies feedback from the outputs where weights are shared.
    """
    propagators = [r.name for r in rules if r.rule.spec.propagates]
    if len(propagators) > 1:
        raise PlasticError(
            f"{' and '.join(propagators)} both propagate the error, and a run has one error pass; "
            "keep one of them"
        )
    showing = [r.name for r in rules if hasattr(r.rule, "plastic_input")]
    if len(showing) > 1:
        raise PlasticError(
            f"{' and '.join(showing)} both say what is shown behind the first pass; keep one of "
            "them"
        )
    several = [r.name for r in rules if r.rule.spec.passes > 1]
    counts = {r.rule.spec.passes: r.name for r in rules if r.name in several}
    if len(counts) > 1:
        raise PlasticError(
            " and ".join(f"{name} has passes={count}" for count, name in counts.items())
            + ", and a run has one number of them; keep one of them"
        )
    if several and circuit.kind in ("recurrent", "sequence"):
        raise PlasticError(
            f"the passes of {' and '.join(several)} are not for recurrent networks, which are "
            "shown their input once in an update"
        )
    _check_settling(rules, propagators, circuit)
    readers = [r.name for r in rules if r.rule.spec.reads_error]
    if readers and not propagators:
        offers = [
            e.name
            for e in catalogue.entries("rule")
            if e.plugin is not None and e.state == "ok" and e.plugin.spec.propagates
        ]
        raise PlasticError(
            f"{' and '.join(readers)} read the error, but no rule of the expression propagates it; "
            f"add one of {listing(offers)}"
        )
    kinds = {r.rule.spec.feedback: r.name for r in rules if r.rule.spec.feedback}
    if len(kinds) > 1:
        raise PlasticError(
            " and ".join(f"{name} needs feedback='{kind}'" for kind, name in kinds.items())
            + ", and a run has one set of feedback matrices; keep one of them"
        )
    for planned in rules if "output" in kinds else ():
        shared = [
            circuit.layer_names[layer - 1]
            for layer in planned.layers
            if circuit.places(circuit.sends[layer - 1][0].z) > 1
        ]
        if "feedback" in planned.rule.spec.modifies and shared:
            raise PlasticError(
                f"{planned.name} modifies B, and in {listing(shared)} B comes from the outputs "
                "(feedback='output') to all places at once, each of which has another part of it; "
                "use a rule with feedback='layer'"
            )


def _check_settling(
    rules: tuple[PlannedRule, ...], propagators: list[str], circuit: Circuit
) -> None:
    """Check that a network that settles can.

    Raises:
        PlasticError: two rules say how, an error is propagated besides, a rule shows something
            several times, or the network is not dense and plain.
    """
    settling = [r.name for r in rules if r.rule.spec.settle]
    if len(settling) > 1:
        raise PlasticError(f"{' and '.join(settling)} both settle the network; keep one of them")
    if not settling:
        return
    others = propagators or [r.name for r in rules if r.rule.spec.passes > 1]
    if others:
        raise PlasticError(
            f"{settling[0]} settles the network, and {others[0]} "
            f"{'propagates an error' if propagators else 'shows something several times'}; keep "
            "one of them"
        )
    for one in rules:
        missing = sorted(one.rule.spec.reads - SETTLED_SIGNALS)
        if missing:
            raise PlasticError(
                f"{settling[0]} settles the network, which then has no {listing(missing)}, and "
                f"{one.name} reads it"
            )
    made = [circuit.maker[node] for node in circuit.populations[1:]]
    sends = [of_one[0] for of_one in circuit.sends]
    plain = len(made) == len(sends) == circuit.depth and all(
        isinstance(one, Apply) and one.inputs == (send.z,) and circuit.places(send.z) == 1
        for one, send in zip(made, sends, strict=True)
    )
    if circuit.kind != "feedforward" or not plain:
        raise PlasticError(
            f"{settling[0]} settles the network, which is for dense feed-forward networks without "
            "biases, layer normalisation and residual connections"
        )
