"""The transforms of a run: which they are, with which parameters, and where they act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plastic_core.api.circuit import Circuit
from plastic_core.api.plugin import Transform
from plastic_core.plan.planned_rules import parse_layers
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Entry
from plastic_core.plugins.params import set_params


@dataclass(frozen=True)
class PlannedTransform:
    """One transform of a run, its parameters set, and the layers that it acts on; None for all."""

    entry: Entry
    transform: Transform
    layers: tuple[int, ...] | None = None


def plan_transform(spec: RunSpec, entry: Entry, circuit: Circuit) -> PlannedTransform:
    """Return a transform with its settings.

    Raises:
        PlasticError: a setting is none of its own, or a layer is none.
    """
    assert entry.plugin is not None
    transform: Transform = entry.plugin()
    settings = dict(spec.settings.get(entry.name, {}))
    given = settings.pop("layers", None)
    layers = None if given is None else parse_layers(entry.name, given, circuit)
    set_params(entry, transform, settings, ("layers",))
    return PlannedTransform(entry, transform, layers)


def transform_projections_of(
    transforms: Sequence[PlannedTransform], circuit: Circuit
) -> dict[str, frozenset[int]]:
    """Return the projections of the transforms that do not act on all, biases among them."""
    return {
        one.transform.spec.name: frozenset(
            p for p, layer in enumerate(circuit.layers) if layer in one.layers
        )
        for one in transforms
        if one.layers is not None
    }
