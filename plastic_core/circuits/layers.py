"""The layers of a network as they are written, and the classes that they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from plastic_core.api.layer import Layer
from plastic_core.api.layered_spec import WrittenLayer, text_of
from plastic_core.api.network_spec import PartKind
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.plugins.params import build_model

#: Gives the class of a plugin, by kind and name.
Find = Callable[[PartKind, str], type[Any]]


def written_out(net: Sequence[WrittenLayer], find: Find) -> tuple[dict[str, Any], ...]:
    """Return layers by name, with the options that were given, in the order of their fields.

    The same network has the same form, however it was written.

    Raises:
        PlasticError: there is no such layer, or its options are malformed.
    """
    found = []
    for number, layer in enumerate(net, start=1):
        made = make_layer(layer, find, number)
        given = made.options.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        found.append({"layer": made.spec.name, **given})
    return tuple(found)


def make_layer(layer: WrittenLayer, find: Find, number: int) -> Layer:
    """Return a layer with its options.

    Args:
        layer: as written.
        find: gives the class of a plugin.
        number: its place, counted from 1, for the message.

    Raises:
        PlasticError: there is no such layer, or its options are malformed.
    """
    if isinstance(layer, str):
        name, *words = layer.split() or [""]
        values: dict[str, Any] | None = None
    else:
        values, words = dict(layer), []
        name = values.pop("layer", None)
        if not isinstance(name, str):
            raise PlasticError(
                f"layer {number} of net, {layer}: expected the name of a layer under 'layer'"
            )
    what = f"layer {number} of net, '{text_of(layer)}'"
    try:
        made: Layer = find("layer", name)()
    except PlasticError as error:
        raise PlasticError(f"{what}: {error}") from None
    options = made.spec.options
    if values is None:
        values = _read_words(options, words, f"{what}: '{name}'")
    made.options = build_model(options, values, what)
    return made


def _read_words(options: type[BaseModel], words: list[str], what: str) -> dict[str, str | bool]:
    """Return the options that words give: what has no default in its order, the rest by name."""
    fields = options.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    values: dict[str, str | bool] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = word.replace("-", "_")
        if name in values:
            raise PlasticError(f"{what}: '{word}' is given twice; keep one of them")
        if name in fields:
            switch = bool in (fields[name].annotation, *get_args(fields[name].annotation))
            if switch and not (rest and rest[0] in ("true", "false")):
                values[name] = True
            elif rest:
                values[name] = rest.pop(0)
            else:
                raise PlasticError(f"{what}: '{word}' has no value; write {word} VALUE")
        else:
            missing = next((name for name in required if name not in values), None)
            if missing is None:
                flags = [name.replace("_", "-") for name in fields]
                divided = "; layers are divided by ' / '" if "," in " ".join(words) else ""
                raise PlasticError(
                    f"{what} takes no '{word}'{did_you_mean(word, flags)}\n"
                    f"  it takes {listing(flags)}{divided}"
                )
            values[missing] = word
    return values
