"""Which backend a run gets, and why.

The choice depends on the rules, the device, the compilers of this machine and the number of
updates of one network; never on how many networks run side by side, so that a seed has the same
numbers alone and among twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.backend import Backend
from plastic_core.backends.compiled.compiled_backend import CannotCompileError, CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.compiler import CompilerError, NoCompilerError
from plastic_core.backends.native.native_backend import NativeBackend, NativeCode
from plastic_core.backends.native.program import NotNativeError
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters

# Compiling takes half a minute and saves some 40 us an update: with twenty seeds, the usual
# number, it is repaid after this many updates of each network.
_REPAID_AFTER: Final = 40_000

_INSTALL: Final = "a C compiler (gcc or clang) would make it several times faster"


@dataclass(frozen=True)
class Chosen:
    """The backend of a run.

    Attributes:
        name: "native", "compiled" or "eager".
        reason: why this one, for the user and the record.
        differs: whether it is another one than was asked for.
        notes: what else the user is told.
    """

    backend: Backend
    name: str
    reason: str
    differs: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendRequest:
    """All that a backend is made of.

    Attributes:
        asked: "auto" or the name of a backend.
        updates: of each network in the whole run.
        threads: networks that may train at once.
        factors: by theta that changes over the run, what it is multiplied by at each update.
        code: what was compiled for the same network and rules before, to be used again.
    """

    asked: str
    network: AnyNetwork | Circuit
    hooks: Hooks
    thetas: dict[str, Tensor]
    parameters: Parameters
    inputs: Tensor
    targets: Tensor
    batch_size: int
    updates: int
    threads: int
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    code: NativeCode | None = None


def choose_backend(request: BackendRequest) -> Chosen:
    """Return the backend that was asked for, or the fastest that can do the run.

    Where the one asked for cannot, the next one does it: native, compiled, eager.
    """
    r = request
    made_of = (r.hooks, r.thetas, r.parameters, r.inputs, r.targets, r.batch_size)
    makers: dict[str, Callable[[], Backend]] = {
        "native": lambda: NativeBackend(
            r.network, *made_of, threads=r.threads, code=r.code, factors=r.factors
        ),
        "compiled": lambda: CompiledBackend(r.network, *made_of, factors=r.factors),
        "eager": lambda: EagerBackend(r.network, *made_of, factors=r.factors),
    }
    refused: dict[str, str] = {}
    for name in ("native", "compiled", "eager"):
        if r.asked != "auto" and not refused and name != r.asked:
            continue
        reason = _unfit(name, r)
        if reason is None:
            try:
                backend = makers[name]()
                notes = backend.code.library.notes if isinstance(backend, NativeBackend) else ()
                why = _why(r.asked, name, refused)
                return Chosen(backend, name, why, bool(refused), notes)
            except NoCompilerError as error:
                reason = f"{error}; {_INSTALL}"
            except (CompilerError, NotNativeError, CannotCompileError) as error:
                reason = str(error)
        refused[name] = reason
    raise AssertionError("the eager backend takes every run")


def _unfit(name: str, r: BackendRequest) -> str | None:
    """Return why a backend need not be tried."""
    device = r.inputs.device.type
    if name == "native" and device != "cpu":
        return f"it runs on the CPU, not on {device}"
    if name == "compiled" and r.asked != "compiled" and r.updates < _REPAID_AFTER:
        return f"{r.updates:,} updates are too few to repay half a minute of compiling"
    return None


def _why(asked: str, name: str, refused: dict[str, str]) -> str:
    if asked == name:
        return "asked for"
    if not refused:
        return "auto: the fastest"
    others = [f"not {other}: {reason}" for other, reason in refused.items() if other != asked]
    begin = "auto" if asked == "auto" else f"in place of {asked}: {refused[asked]}"
    return "; ".join([begin, *others])
