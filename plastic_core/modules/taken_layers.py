"""Which layers of a model learn, and why others cannot."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from torch import Tensor, nn

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.modules.plastic_layer import UNSHAPED, PlasticLayer

#: Layers that learn already.
TAKEN: Final[weakref.WeakSet[nn.Module]] = weakref.WeakSet()


def taken_layers(model: nn.Module, names: Sequence[str] | None) -> list[PlasticLayer]:
    """Return the layers that are asked for, or all that can be taken."""
    modules = {name or type(model).__name__: one for name, one in model.named_modules()}
    faults = {name: _fault_of(one, modules) for name, one in modules.items()}
    possible = [name for name, fault in faults.items() if fault is None]
    for name in names or ():
        if name not in modules:
            raise PlasticError(
                f"layers: the model has no module '{name}'{did_you_mean(name, possible)}\n"
                f"  there are {', '.join(possible) or '(none)'}"
            )
        if faults[name] is not None:
            raise PlasticError(f"layers: '{name}' cannot be taken: {faults[name]}")
    taken = [name for name, module in modules.items() if module in TAKEN]
    if names is None and taken:
        raise PlasticError(f"layers: '{taken[0]}' cannot be taken: {faults[taken[0]]}")
    lazy = [name for name, fault in faults.items() if fault == UNSHAPED]
    if names is None and lazy:
        raise PlasticError(f"layers: '{lazy[0]}' cannot be taken: {UNSHAPED}; call it once before")
    chosen = {name: modules[name] for name in possible if names is None or name in names}
    if not chosen:
        raise PlasticError(
            "the model has no linear or convolutional layer that could be taken; Plasticity takes "
            "nn.Linear, nn.Conv1d and nn.Conv2d, without groups and with a padding of zeros"
        )
    kinds = {(one.weight.dtype, one.weight.device) for one in chosen.values()}
    if len(kinds) > 1:
        raise PlasticError(f"the layers are of several kinds, {listing(map(str, kinds))}; take one")
    return [PlasticLayer(name, module) for name, module in chosen.items()]


def _fault_of(module: nn.Module, modules: Mapping[str, nn.Module]) -> str | None:
    """Return why a module of a model cannot be taken, or None where it can."""
    for whole in modules.values():
        if isinstance(whole, nn.MultiheadAttention) and module is whole.out_proj:
            return "nn.MultiheadAttention multiplies by its weights without calling it"
    if module in TAKEN:
        return "it learns by another Plasticity already; remove() that one"
    fault = PlasticLayer.fault(module)
    if fault is None:
        sharing = [
            name
            for name, one in modules.items()
            if one is not module and getattr(one, "weight", None) is module.weight
        ]
        if sharing:
            return f"its weights are those of {listing(sharing)} too"
    return fault


def given_posts(
    given: Mapping[str, Callable[[Tensor], Tensor]], layers: Sequence[PlasticLayer]
) -> dict[str, tuple[str, Callable[[Tensor], Tensor]]]:
    """Return the activation functions that are given, with what they are called."""
    names = [layer.name for layer in layers]
    for name, function in given.items():
        if name not in names:
            raise PlasticError(
                f"post: no layer '{name}' learns{did_you_mean(name, names)}; there are "
                f"{listing(names)}"
            )
        if not callable(function):
            raise PlasticError(f"post of '{name}' = {function!r}: expected a function of z")
    return {name: (getattr(one, "__name__", repr(one)), one) for name, one in given.items()}
