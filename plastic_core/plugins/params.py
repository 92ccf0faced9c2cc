"""The parameters of a plugin, from what the user set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from plastic_core.api.observer import Observer
from plastic_core.api.plugin import Probe, Rule, Transform
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.base.spec import SpecError, describe_faults
from plastic_core.plugins.catalogue import Entry


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


def set_params(
    entry: Entry,
    plugin: Rule | Transform | Probe | Observer,
    settings: Mapping[str, Any],
    also: tuple[str, ...],
) -> None:
    """Set the parameters of a plugin; `also` are settings of the core that it takes too.

    Raises:
        PlasticError: an unknown parameter or a bad value.
    """
    if plugin.spec.params is not None:
        plugin.params = build_model(plugin.spec.params, settings, f"setting of '{entry.name}'")
    elif settings:
        name, value = next(iter(settings.items()))
        raise PlasticError(
            f"setting of '{entry.name}': there is no '{name}' (value {value!r})"
            f"{did_you_mean(name, also)}\n  accepted are {listing(also)}"
        )
