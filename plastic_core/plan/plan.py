"""From a RunSpec to a plan: plugins found, thetas and layers resolved, conflicts reported.

Everything that can be wrong with a run without looking at the data is found here, before torch
is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from plastic_core.api.circuit import Circuit
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.loss import Loss, Score
from plastic_core.api.network_spec import AnyNetwork, PartKind
from plastic_core.api.plugin import Rule
from plastic_core.api.specs import TaskSpec
from plastic_core.base.errors import PlasticError, describe_exception, did_you_mean, listing
from plastic_core.base.files import expanded
from plastic_core.circuits.layers import written_out
from plastic_core.circuits.network import circuit_of
from plastic_core.plan.expression import parse
from plastic_core.plan.parent import Parent, read_parent
from plastic_core.plan.planned_probes import PlannedProbe, find_probes, plan_probes
from plastic_core.plan.planned_readout import METHODS, readout_notes, readout_of
from plastic_core.plan.planned_rules import (
    PlannedRule,
    check_together,
    find_rule,
    plan_rules,
)
from plastic_core.plan.planned_transforms import (
    PlannedTransform,
    plan_transform,
    transform_projections_of,
)
from plastic_core.plan.projections import projections_of, theta_projections_of
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.schedule import Schedule
from plastic_core.plan.staged_spec import settings_of_rules, specs_of_stages
from plastic_core.plugins.catalogue import Catalogue, Entry
from plastic_core.plugins.params import build_model


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
        circuit: what the network is made of.
        parts: the plugins of the network, such as its loss, by kind and name.
        parent: the run whose networks learn on, or None for new ones.
        stages: a plan for each, the last with the same rules as this one; nothing where there is
            one stage alone.
    """

    spec: RunSpec
    task_entry: Entry
    options: BaseModel
    network: AnyNetwork
    circuit: Circuit
    parts: Mapping[tuple[PartKind, str], Entry]
    rules: tuple[PlannedRule, ...]
    transforms: tuple[PlannedTransform, ...]
    probes: tuple[PlannedProbe, ...]
    parent: Parent | None = None
    stages: tuple[Plan, ...] = ()

    @property
    def entries(self) -> list[Entry]:
        """The plugins that it uses: rules, transforms, probes, parts of the network, the task."""
        entries = [r.entry for r in self.all_rules] + [t.entry for t in self.transforms]
        entries += [p.entry for p in self.probes]
        return [*entries, *self.parts.values(), self.task_entry]

    @property
    def each(self) -> tuple[Plan, ...]:
        """The stages, or the one that it is."""
        return self.stages or (self,)

    @property
    def all_rules(self) -> tuple[PlannedRule, ...]:
        """The rules of all stages; one that stands in several is there several times."""
        return tuple(rule for stage in self.each for rule in stage.rules)

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self.circuit.loss

    @property
    def selected(self) -> list[tuple[Rule, frozenset[int]]]:
        """Each rule with the projections that it acts on; see `projections_of`."""
        return projections_of(self.rules, self.circuit)

    @property
    def thetas(self) -> dict[str, float]:
        """All thetas by name: that of each rule, and those of its own in some layers."""
        return {name: theta for rule in self.rules for name, theta in rule.thetas.items()}

    @property
    def written_thetas(self) -> dict[str, float | str]:
        """All thetas by name as settings have them: of those that change over the run, the text."""
        return {name: rule.written(name) for rule in self.all_rules for name in rule.thetas}

    @property
    def schedules(self) -> dict[str, Schedule]:
        """Those of the thetas that change over the run, by name."""
        return {name: one for rule in self.rules for name, one in rule.schedules.items()}

    @property
    def updates(self) -> int:
        """Number of updates of each network."""
        return -(-self.spec.samples // self.spec.batch_size)

    @property
    def theta_layers(self) -> dict[str, dict[str, frozenset[int]]]:
        """The projections of each theta that is of some layers alone, by rule."""
        return theta_projections_of(self.rules, self.circuit)

    @property
    def transform_layers(self) -> dict[str, frozenset[int]]:
        """The projections of the transforms that do not act on all, biases among them."""
        return transform_projections_of(self.transforms, self.circuit)

    @property
    def judged_by_readout(self) -> bool:
        """Whether the score is that of a readout, and not of the networks' own outputs."""
        return self.spec.readout in METHODS

    @property
    def doubts(self) -> list[str]:
        """What is to be said of what it is judged by, and of its thetas."""
        doubts = (doubt for stage in self.each for doubt in stage._theta_doubts)
        return [*readout_notes([(self.spec, self.all_rules)]), *dict.fromkeys(doubts)]

    @property
    def _theta_doubts(self) -> list[str]:
        """What is to be said of defaults where increments of many places are summed."""
        circuit = self.circuit
        places = {p: circuit.places(circuit.sends[p][0].z) for p in range(circuit.depth)}
        shared = max(places, key=places.__getitem__)
        of_default = [rule for rule in self.rules if rule.origin == "default of the rule"]
        plain = [rule.name for rule in of_default if not rule.own]
        if places[shared] == 1 or not plain:
            return []
        layer = circuit.layer_names[shared].split(".")[0]
        return [
            f"the theta of {listing(plain)} is the default of the rule, and in {layer} the "
            f"increments of {places[shared]} places are summed; 'plastic search' finds others, and "
            f"--set {plain[0]}.theta.{layer}= gives it one of its own"
        ]

    def on(self, network: AnyNetwork) -> Plan:
        """Return the same on another network, of the same parts or of others that are installed.

        Raises:
            PlasticError: one is not there, or a layer does not fit.
        """
        parts, circuit = _plan_circuit(
            network, lambda kind, name: self.parts.get((kind, name)) or Catalogue().find(kind, name)
        )
        stages = tuple(stage.on(network) for stage in self.stages)
        return replace(self, network=network, circuit=circuit, parts=parts, stages=stages)

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
        return next((r.rule.spec.feedback for r in self.all_rules if r.rule.spec.feedback), None)


def make_plan(spec: RunSpec, catalogue: Catalogue) -> Plan:
    """Resolve a spec against what is installed.

    Raises:
        PlasticError: an unknown or unusable plugin, a malformed expression, a theta out of
            bounds, a setting of nothing, rules that do not go together.
    """
    parent = read_parent(expanded(spec.parent)) if spec.parent else None
    if parent is not None:
        parent.rows(spec.seed_list)
    if not spec.stages:
        return replace(_plan_stage(spec, catalogue), parent=parent)
    planned = [_plan_stage(one, catalogue) for one in specs_of_stages(spec)]
    kinds = {plan.feedback for plan in planned} - {None}
    if len(kinds) > 1:
        raise PlasticError(
            f"stages: their rules have feedback of two kinds, {listing(map(str, kinds))}; a "
            "network has matrices of one kind"
        )
    if len({tuple(rule.name for rule in plan.rules) for plan in planned}) > 1:
        planned = [replace(p, probes=tuple(_of_all_rules(p.probes, spec))) for p in planned]
    rules = tuple(rule for plan in planned for rule in plan.rules)
    decided: dict[str, Any] = {"readout": readout_of(spec.readout, rules)}
    stages = tuple(replace(plan, spec=plan.spec.model_copy(update=decided)) for plan in planned)
    last = stages[-1].spec
    measured = tuple(one.entry.name for one in stages[-1].probes)
    decided |= {"options": last.options, "probes": measured if spec.probes else ()}
    decided["stages"] = tuple(
        one.model_copy(update={"settings": settings_of_rules(plan.spec, plan.rules)})
        for one, plan in zip(spec.stages, stages, strict=True)
    )
    return replace(stages[-1], spec=spec.model_copy(update=decided), stages=stages, parent=parent)


def _of_all_rules(probes: Iterable[PlannedProbe], spec: RunSpec) -> Iterator[PlannedProbe]:
    """Yield the probes that measure no rule by itself, for stages that have different rules.

    Raises:
        PlasticError: another one was asked for by name.
    """
    for one in probes:
        if not any("rule" in measure.dims for measure in one.probe.spec.measures.values()):
            yield one
        elif spec.probes != ("all",):
            raise PlasticError(
                f"the probe '{one.entry.name}' measures each rule, and the stages have different "
                "rules; leave it out"
            )


def _plan_stage(spec: RunSpec, catalogue: Catalogue) -> Plan:
    terms = parse(spec.rule)
    entries = [find_rule(catalogue, term.name) for term in terms]
    transforms = [catalogue.find("transform", name) for name in spec.transforms]
    task_entry = catalogue.find("task", spec.task)
    assert task_entry.plugin is not None
    task: TaskSpec = task_entry.plugin.spec
    options, network, parts, circuit = plan_network(task_entry, spec.options, catalogue)
    probes = find_probes(spec, catalogue, circuit)
    for what, found in (("transforms", transforms), ("probes", probes)):
        if len({entry.name for entry in found}) < len(found):
            twice = listing(entry.name for entry in found)
            raise PlasticError(f"{what} {twice}: one of them stands twice")
    _check_setting_names(spec, entries, transforms, probes)
    rules = plan_rules(spec, terms, entries, task, circuit)
    check_together(rules, catalogue, circuit)
    settings = {name: dict(values) for name, values in spec.settings.items()}
    for term, planned in zip(terms, rules, strict=True):
        own = {f"theta.{name}": planned.written(f"{planned.name}.{name}") for name in planned.own}
        if term.coefficient is None:
            written = settings.setdefault(planned.name, {})
            written.update(own or {"theta": planned.written(planned.name)})
    # as the task understood them: sizes "64,10" and [64, 10] are the same run
    understood = options.model_dump(mode="json")
    given = {name: understood.get(name, value) for name, value in spec.options.items()}
    names = tuple(e.name for e in probes) if spec.probes == ("all",) else spec.probes
    decided = {"settings": settings, "options": given, "probes": names}
    decided["readout"] = readout_of(spec.readout, rules)
    return Plan(
        spec=spec.model_copy(update=decided),
        task_entry=task_entry,
        options=options,
        network=network,
        circuit=circuit,
        parts=parts,
        rules=rules,
        transforms=tuple(plan_transform(spec, entry, circuit) for entry in transforms),
        probes=plan_probes(spec, probes),
    )


def plan_network(
    entry: Entry, given: Mapping[str, Any], catalogue: Catalogue
) -> tuple[BaseModel, AnyNetwork, dict[tuple[PartKind, str], Entry], Circuit]:
    """Return the options of a task, its network, the plugins of that, and its circuit.

    Args:
        entry: the task.
        given: the options that are set.
        catalogue: what is installed or handed over.

    Raises:
        PlasticError: an unknown option or a bad value, a part that is not there, a layer that does
            not fit.
    """
    options, network = network_of(entry, given, catalogue)
    return options, network, *_plan_circuit(network, catalogue.find)


def network_of(
    entry: Entry, given: Mapping[str, Any], catalogue: Catalogue
) -> tuple[BaseModel, AnyNetwork]:
    """Return the options of a task and its network; the arguments are those of `plan_network`.

    Raises:
        PlasticError: an unknown option or a bad value, or a layer that is not there.
    """
    assert entry.plugin is not None
    options = build_model(entry.plugin.spec.options, given, f"options of {entry.name}")
    # the same network has the same form, however it was written
    if net := getattr(options, "net", None):
        options = options.model_copy(update={"net": written_out(net, catalogue.class_of)})
    network = call_task(entry, "network", options)
    if not isinstance(network, AnyNetwork):
        raise PlasticError(
            f"the task '{entry.name}': network() returned {network!r}; expected a "
            "NetworkSpec, a LayeredSpec, a RecurrentSpec or a SequenceSpec"
        )
    if isinstance(network, LayeredSpec):
        named = written_out(network.net, catalogue.class_of)
        network = network.model_copy(update={"net": named})
    return options, network


def _plan_circuit(
    network: AnyNetwork, entry_of: Callable[[PartKind, str], Entry]
) -> tuple[dict[tuple[PartKind, str], Entry], Circuit]:
    """Return the plugins that a network is made of, and its circuit.

    Raises:
        PlasticError: one is not there, or a layer does not fit.
    """
    parts: dict[tuple[PartKind, str], Entry] = {}

    def find(kind: PartKind, name: str) -> type[Any]:
        entry = parts.setdefault((kind, name), entry_of(kind, name))
        assert entry.plugin is not None
        return entry.plugin

    circuit = circuit_of(network, find)
    return parts, circuit


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


def _check_setting_names(spec: RunSpec, *chosen: list[Entry]) -> None:
    selected = {entry.name for entries in chosen for entry in entries}
    for name, settings in spec.settings.items():
        if name not in selected:
            owner, dot, layer = name.partition(".")
            of_layer = dot and owner in selected and "theta" in settings
            hint = f"; write {owner}.theta.{layer}" if of_layer else did_you_mean(name, selected)
            raise PlasticError(
                f"setting of '{name}': it is no rule, transform or probe of this run{hint}\n"
                f"  this run has {listing(selected)}"
            )
