"""From a RunSpec to a plan: plugins found, thetas and layers resolved, conflicts reported.

Everything that can be wrong with a run without looking at the data is found here, before torch
is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from plastic_core.api.loss import Loss, Score
from plastic_core.api.network_spec import AnyNetwork, PartKind
from plastic_core.api.plugin import Probe, Rule, Transform
from plastic_core.api.specs import TaskSpec, Theta, When
from plastic_core.base.errors import PlasticError, describe_exception, did_you_mean, listing
from plastic_core.base.spec import SpecError, describe_faults
from plastic_core.plan.expression import Term, parse, taken_away
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue, Entry


@dataclass(frozen=True)
class PlannedRule:
    """One rule of a run.

    Attributes:
        rule: the instance, its parameters set.
        theta: the coefficient that the engine multiplies its update with.
        origin: where theta comes from, for the record.
        layers: the weight matrices that it acts on, counted from 1.
    """

    entry: Entry
    rule: Rule
    theta: float
    origin: str
    layers: tuple[int, ...]

    @property
    def name(self) -> str:
        """The public name."""
        return self.entry.name


@dataclass(frozen=True)
class PlannedTransform:
    """One transform of a run, its parameters set."""

    entry: Entry
    transform: Transform


@dataclass(frozen=True)
class PlannedProbe:
    """One probe of a run, its parameters set, and when it measures."""

    entry: Entry
    probe: Probe
    when: When


@dataclass(frozen=True)
class PlannedPart:
    """A part of the network that is a plugin, such as its loss, made."""

    entry: Entry
    made: Any


@dataclass(frozen=True)
class Replica:
    """One network: its seed, and the theta of each rule."""

    seed: int
    thetas: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """A run, resolved.

    Attributes:
        spec: the spec with every theta written out, so that repeating it repeats the numbers.
        parts: the plugins of the network, by kind and name.
    """

    spec: RunSpec
    task_entry: Entry
    options: BaseModel
    network: AnyNetwork
    parts: Mapping[tuple[PartKind, str], PlannedPart]
    rules: tuple[PlannedRule, ...]
    transforms: tuple[PlannedTransform, ...]
    probes: tuple[PlannedProbe, ...]

    @property
    def entries(self) -> list[Entry]:
        """The plugins that it uses: rules, transforms, probes, parts of the network, the task."""
        entries = [r.entry for r in self.rules] + [t.entry for t in self.transforms]
        entries += [p.entry for p in self.probes]
        return [*entries, *(part.entry for part in self.parts.values()), self.task_entry]

    @property
    def loss(self) -> Loss:
        """The loss."""
        loss: Loss = self.parts["loss", self.network.loss].made
        return loss

    @property
    def made(self) -> dict[tuple[PartKind, str], Any]:
        """The parts of the network by kind and name, as `circuit_of` takes them."""
        return {key: part.made for key, part in self.parts.items()}

    @property
    def selected(self) -> list[tuple[Rule, frozenset[int]]]:
        """Each rule with the projections that it acts on, counted from 0.

        They are its layers; where it propagates the error, those of their biases too.
        """
        depth, found = self.network.depth, []
        for planned in self.rules:
            projections = {layer - 1 for layer in planned.layers}
            if planned.rule.spec.propagates:
                of_biases = enumerate(self.network.biased, start=depth)
                projections |= {p for p, layer in of_biases if layer in planned.layers}
            found.append((planned.rule, frozenset(projections)))
        return found

    @property
    def handed_over(self) -> bool:
        """Whether it uses classes that are not installed, which no other process could find."""
        return any(entry.handed_over for entry in self.entries)

    @property
    def score(self) -> Score:
        """What says how well its networks do."""
        return self.loss.spec.score

    @property
    def feedback(self) -> str | None:
        """The kind of feedback matrices that the rules need."""
        return next((r.rule.spec.feedback for r in self.rules if r.rule.spec.feedback), None)


def make_plan(spec: RunSpec, catalogue: Catalogue) -> Plan:
    """Resolve a spec against what is installed.

    Raises:
        PlasticError: an unknown or unusable plugin, a malformed expression, a theta out of
            bounds, a setting of nothing, rules that do not go together.
    """
    terms = parse(spec.rule)
    entries = [_find_rule(catalogue, term.name) for term in terms]
    transforms = [catalogue.find("transform", name) for name in spec.transforms]
    task_entry = catalogue.find("task", spec.task)
    assert task_entry.plugin is not None
    task: TaskSpec = task_entry.plugin.spec
    options = build_model(task.options, spec.options, f"options of {task_entry.name}")
    network = call_task(task_entry, "network", options)
    if not isinstance(network, AnyNetwork):
        raise PlasticError(
            f"the task '{task_entry.name}': network() returned {network!r}; expected a NetworkSpec "
            "or a RecurrentSpec"
        )
    parts = {(kind, name): plan_part(catalogue, kind, name) for kind, name in network.parts}
    probes = _find_probes(spec, catalogue, network)
    for what, found in (("transforms", transforms), ("probes", probes)):
        if len({entry.name for entry in found}) < len(found):
            twice = listing(entry.name for entry in found)
            raise PlasticError(f"{what} {twice}: one of them stands twice")
    _check_setting_names(spec, entries, transforms, probes)
    rules = _plan_rules(spec, terms, entries, task, network)
    _check_together(rules, catalogue)
    settings = {name: dict(values) for name, values in spec.settings.items()}
    for term, planned in zip(terms, rules, strict=True):
        if term.coefficient is None:
            settings.setdefault(planned.name, {})["theta"] = planned.theta
    # as the task understood them: sizes "64,10" and [64, 10] are the same run
    understood = options.model_dump(mode="json")
    given = {name: understood.get(name, value) for name, value in spec.options.items()}
    names = tuple(e.name for e in probes) if spec.probes == ("all",) else spec.probes
    written_out = {"settings": settings, "options": given, "probes": names}
    return Plan(
        spec=spec.model_copy(update=written_out),
        task_entry=task_entry,
        options=options,
        network=network,
        parts=parts,
        rules=rules,
        transforms=tuple(_plan_transform(spec, entry) for entry in transforms),
        probes=_plan_probes(spec, probes),
    )


def plan_part(catalogue: Catalogue, kind: PartKind, name: str) -> PlannedPart:
    """Return a part of the network that is a plugin, made."""
    entry = catalogue.find(kind, name)
    assert entry.plugin is not None
    return PlannedPart(entry, entry.plugin())


def _find_rule(catalogue: Catalogue, name: str) -> Entry:
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


def call_task(entry: Entry, method: str, *arguments: Any) -> Any:
    """Call a method of a task, and name the task where it raises.

    Raises:
        PlasticError: what it raised, if it was no such error already.
    """
    assert entry.plugin is not None
    try:
        return getattr(entry.plugin(), method)(*arguments)
    except PlasticError:
        raise
    except Exception as error:
        raise PlasticError(
            f"the task '{entry.name}' of {entry.distribution}: {method}() raised "
            f"{describe_exception(error)}"
        ) from error


def build_model(model: type[BaseModel], values: Mapping[str, Any], what: str) -> BaseModel:
    """Return `model` made of `values`.

    Raises:
        PlasticError: an unknown field or a bad value, with the nearest name and what is accepted.
    """
    for name, value in values.items():
        if name not in model.model_fields:
            raise PlasticError(
                f"{what}: there is no '{name}' (value {value!r})"
                f"{did_you_mean(name, model.model_fields)}\n"
                f"  accepted are {listing(model.model_fields)}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise PlasticError(f"{what}: {name} = {value}: expected a finite number")
    try:
        return model(**values)
    except SpecError as error:
        raise PlasticError(f"{what}{error.faults}") from None
    except ValidationError as error:
        raise PlasticError(f"{what}{describe_faults(error, model)}") from None


def _check_setting_names(spec: RunSpec, *chosen: list[Entry]) -> None:
    selected = {entry.name for entries in chosen for entry in entries}
    for name in spec.settings:
        if name not in selected:
            raise PlasticError(
                f"setting of '{name}': it is no rule, transform or probe of this run"
                f"{did_you_mean(name, selected)}\n  this run has {listing(selected)}"
            )


def _plan_rules(
    spec: RunSpec,
    terms: tuple[Term, ...],
    entries: list[Entry],
    task: TaskSpec,
    network: AnyNetwork,
) -> tuple[PlannedRule, ...]:
    names = frozenset(entry.name for entry in entries)
    if len(names) < len(entries):
        raise PlasticError(f"rule expression {spec.rule!r}: two of its rules have the same name")
    recommended = next((r.thetas for r in task.recommended if r.applies(names, network)), {})
    planned = []
    for term, entry in zip(terms, entries, strict=True):
        assert entry.plugin is not None
        rule: Rule = entry.plugin()
        settings = dict(spec.settings.get(entry.name, {}))
        theta, given = rule.spec.theta, settings.pop("theta", None)
        if term.coefficient is not None:
            if given is not None:
                raise PlasticError(
                    f"theta of '{entry.name}' is given twice: {term.coefficient:g} in the "
                    f"expression and {given} as a setting; keep one"
                )
            value, origin = _check_theta(entry.name, theta, term.coefficient), "expression"
        elif given is not None:
            value, origin = _check_theta(entry.name, theta, given), "setting"
        elif entry.name in recommended:
            value = _check_theta(entry.name, theta, recommended[entry.name])
            origin = f"recommended by {task.name}"
        else:
            value, origin = theta.default, "default of the rule"
        layers = _plan_layers(entry.name, rule, settings.pop("layers", None), network)
        _set_params(entry, rule, settings, ("theta", "layers"))
        planned.append(PlannedRule(entry, rule, value, origin, layers))
    return tuple(planned)


def _plan_transform(spec: RunSpec, entry: Entry) -> PlannedTransform:
    assert entry.plugin is not None
    transform: Transform = entry.plugin()
    _set_params(entry, transform, dict(spec.settings.get(entry.name, {})), ())
    return PlannedTransform(entry, transform)


def _find_probes(spec: RunSpec, catalogue: Catalogue, network: AnyNetwork) -> list[Entry]:
    if not spec.probes:
        return []
    usable = [entry for entry in catalogue.entries("probe") if entry.state == "ok"]
    fitting = [e for e in usable if e.plugin and network.kind in e.plugin.spec.networks]
    if spec.probes == ("all",):
        return fitting
    found = [catalogue.find("probe", name) for name in spec.probes]
    for entry in found:
        assert entry.plugin is not None
        if network.kind not in entry.plugin.spec.networks:
            kinds = listing(entry.plugin.spec.networks)
            raise PlasticError(
                f"the probe '{entry.name}' measures {kinds} networks, and that of "
                f"'{spec.task}' is {network.kind}; there are {listing(e.name for e in fitting)}"
            )
    return found


def _plan_probes(spec: RunSpec, entries: list[Entry]) -> tuple[PlannedProbe, ...]:
    planned, owners = [], dict[str, str]()
    for entry in entries:
        assert entry.plugin is not None
        probe: Probe = entry.plugin()
        settings = dict(spec.settings.get(entry.name, {}))
        when: Any = settings.pop("when", probe.spec.when)
        if when not in get_args(When):
            raise PlasticError(f"when of '{entry.name}' = {when!r}: expected every or last")
        _set_params(entry, probe, settings, ("when",))
        for measure in probe.spec.measures:
            if measure in owners:
                raise PlasticError(
                    f"the probes '{owners[measure]}' and '{entry.name}' both measure '{measure}'; "
                    "keep one of them"
                )
            owners[measure] = entry.name
        planned.append(PlannedProbe(entry, probe, when))
    return tuple(planned)


def _set_params(
    entry: Entry, plugin: Rule | Transform | Probe, settings: dict[str, Any], also: tuple[str, ...]
) -> None:
    if plugin.spec.params is not None:
        plugin.params = build_model(plugin.spec.params, settings, f"setting of '{entry.name}'")
    elif settings:
        name, value = next(iter(settings.items()))
        raise PlasticError(
            f"setting of '{entry.name}': there is no '{name}' (value {value!r})"
            f"{did_you_mean(name, also)}\n  accepted are {listing(also)}"
        )


def _check_theta(name: str, theta: Theta, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not theta.contains(float(value)):
        raise PlasticError(f"theta of '{name}' = {value!r}: expected {theta.accepted}")
    return float(value)


def _plan_layers(name: str, rule: Rule, value: Any, network: AnyNetwork) -> tuple[int, ...]:
    """Return the layers on which a rule acts: all of them, those asked for, or those allowed."""
    layers = _parse_layers(name, value, network.depth)
    if rule.spec.propagates:
        return layers
    allowed = tuple(layer for layer in layers if layer not in network.gradient_only)
    if value is not None and allowed != layers:
        everywhere = range(1, network.depth + 1)
        taken = [str(layer) for layer in everywhere if layer in network.gradient_only]
        free = [str(layer) for layer in everywhere if layer not in network.gradient_only]
        raise PlasticError(
            f"layers of '{name}' = {value!r}: in this network the layers {listing(taken)} learn by "
            f"the rule that propagates the error alone; expected {listing(free)}"
        )
    return allowed


def _parse_layers(name: str, value: Any, depth: int) -> tuple[int, ...]:
    """Return the layers of a setting such as "1-4", "2,5", 3 or [2, 5]; all of them for None."""
    if value is None:
        return tuple(range(1, depth + 1))
    layers: set[int] = set()
    try:
        for part in value if isinstance(value, list) else str(value).split(","):
            part = str(part)
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
            f"1-{depth} or 1,{depth}"
        )
    return tuple(sorted(layers))


def _check_together(rules: tuple[PlannedRule, ...], catalogue: Catalogue) -> None:
    propagators = [r.name for r in rules if r.rule.spec.propagates]
    if len(propagators) > 1:
        raise PlasticError(
            f"{' and '.join(propagators)} both propagate the error, and a run has one error pass; "
            "keep one of them"
        )
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
