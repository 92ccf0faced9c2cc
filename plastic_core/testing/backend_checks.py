"""Which backends take a small network, and whether they give the numbers of eager."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from plastic_core.api.network_spec import RecurrentSpec
from plastic_core.backends.backend import Backend
from plastic_core.backends.compiled.compiled_backend import CannotCompileError, CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.compiler import CompilerError
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import NotNativeError
from plastic_core.networks.parameters import Parameters, add_states, initial_parameters
from plastic_core.testing.small import STEPS, SmallNetwork, difference

Make = Callable[[], SmallNetwork]

_BACKENDS: Final[dict[str, Callable[..., Backend]]] = {
    "native": NativeBackend,
    # two updates a call, the fewest that follow each other: compiling takes longer with more
    "compiled": functools.partial(CompiledBackend, chunk=2),
}
#: Those that are compared with eager.
BACKENDS: Final = tuple(_BACKENDS)

#: An update of W_x has 2 events, one of W_h 3, and one of W_o a single one.
_RECURRENT: Final = RecurrentSpec(inputs=6, hidden=5, classes=3, present=2, steps=4)
_REFUSED: Final = (NotNativeError, CompilerError, CannotCompileError)


def backends_of(make: Make, plugin: str, names: Sequence[str] = BACKENDS) -> str:
    """Return which backends take a network with a plugin, and why the others do not.

    Args:
        make: returns a new network.
        plugin: its kind and name, which reasons need not repeat, such as "rule 'oja'".
        names: of the backends that are tried.
    """
    takes, reasons = [], []
    for name in names:
        network = make()
        try:
            _BACKENDS[name](*_arguments(network, network.initial()))
            takes.append(name)
        except _REFUSED as error:
            reasons.append(f"; not {name}: {str(error).removeprefix(f'the {plugin}: ')}")
    return ", ".join((*takes, "eager")) + "".join(reasons)


def difference_on(name: str, make: Make) -> str:
    """Return where a backend gives other numbers than eager; nothing where it does not take it."""
    network = make()
    parameters = network.initial()
    try:
        backend = _BACKENDS[name](*_arguments(network, parameters))
    except _REFUSED:
        return ""
    backend.advance(torch.arange(network.x.shape[2] * STEPS).unsqueeze(0))
    return difference(network.train(STEPS), parameters.named())


def difference_over_time(make: Make) -> str:
    """Return where native gives other numbers than eager in a recurrent network.

    There the K events of an update are steps, and the mini-batch is 1.
    """
    network = make()
    inputs, targets = network.x[:, 0, 0, : _RECURRENT.inputs], network.target[:, 0, 0]
    trained = []
    for backend in (NativeBackend, EagerBackend):
        parameters = initial_parameters(
            _RECURRENT, network.seeds, network.hooks.feedback, network.dtype
        )
        add_states(parameters, network.hooks)
        thetas = network.thetas
        try:
            made = backend(_RECURRENT, network.hooks, thetas, parameters, inputs, targets, 1)
        except _REFUSED:
            return ""
        made.advance(torch.arange(STEPS).unsqueeze(0))
        trained.append(parameters.named())
    native, eager = trained
    off = difference(eager, native)
    return f"{off}, in a recurrent network" if off else ""


def _arguments(network: SmallNetwork, parameters: Parameters) -> tuple[Any, ...]:
    """Return the arguments of a backend, its training points those of the network in order."""
    batch = network.x.shape[2]
    inputs, targets = network.x.flatten(0, 2), network.target.flatten(0, 2)
    return network.circuit, network.hooks, network.thetas, parameters, inputs, targets, batch
