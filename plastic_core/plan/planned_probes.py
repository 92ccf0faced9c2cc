"""The probes of a run: found, their parameters set, and when they measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from plastic_core.api.circuit import Circuit
from plastic_core.api.plugin import Probe
from plastic_core.api.specs import When
from plastic_core.base.errors import PlasticError, listing
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue, Entry
from plastic_core.plugins.params import set_params


@dataclass(frozen=True)
class PlannedProbe:
    """One probe of a run, its parameters set, and when it measures."""

    entry: Entry
    probe: Probe
    when: When


def find_probes(spec: RunSpec, catalogue: Catalogue, circuit: Circuit) -> list[Entry]:
    """Return the probes that are asked for, or all that measure such networks.

    Raises:
        PlasticError: there is none of a name, or it measures other networks.
    """
    if not spec.probes:
        return []
    usable = [entry for entry in catalogue.entries("probe") if entry.state == "ok"]
    fitting = [e for e in usable if e.plugin and circuit.kind in e.plugin.spec.networks]
    if spec.probes == ("all",):
        return fitting
    found = [catalogue.find("probe", name) for name in spec.probes]
    for entry in found:
        assert entry.plugin is not None
        if circuit.kind not in entry.plugin.spec.networks:
            kinds = listing(entry.plugin.spec.networks)
            raise PlasticError(
                f"the probe '{entry.name}' measures {kinds} networks, and that of "
                f"'{spec.task}' is {circuit.kind}; there are {listing(e.name for e in fitting)}"
            )
    return found


def plan_probes(spec: RunSpec, entries: list[Entry]) -> tuple[PlannedProbe, ...]:
    """Return probes with their parameters set.

    Raises:
        PlasticError: a setting is not accepted, or two measure what is called the same.
    """
    planned, owners = [], dict[str, str]()
    for entry in entries:
        assert entry.plugin is not None
        probe: Probe = entry.plugin()
        settings = dict(spec.settings.get(entry.name, {}))
        when: Any = settings.pop("when", probe.spec.when)
        if when not in get_args(When):
            raise PlasticError(f"when of '{entry.name}' = {when!r}: expected every or last")
        set_params(entry, probe, settings, ("when",))
        for measure in probe.spec.measures:
            if measure in owners:
                raise PlasticError(
                    f"the probes '{owners[measure]}' and '{entry.name}' both measure '{measure}'; "
                    "keep one of them"
                )
            owners[measure] = entry.name
        planned.append(PlannedProbe(entry, probe, when))
    return tuple(planned)
