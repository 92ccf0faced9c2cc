"""The measurement itself: every contender in turn, round by round."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch

from plastic_core.backends.native.compiler import CompilerError
from plastic_core.backends.native.library import cache_folder
from plastic_core.base.errors import PlasticError
from plastic_core.bench import memory, peers_jax, peers_torch
from plastic_core.bench.case import EQUATION_9, RULE, Case
from plastic_core.bench.limits import Limits

# Makes what trains for a number of updates and returns the weights, or None.
Maker = Callable[[Case], Callable[[int], Any]]

#: Names of all contenders.
CONTENDERS: Final = ("native", "compiled", "eager", "autograd", "jax")

# Updates of one piece, before `scale`: about a tenth of a second each.
_UPDATES: Final = {
    "native": 3000,
    "compiled": 1000,
    "eager": 500,
    "autograd, functional": 200,
    "autograd, nn.Module": 150,
    "jax scan": 2000,
    "jax replica-major": 100,
    "jax vmap": 50,
}


@dataclass
class Piece:
    """One contender on one case.

    Attributes:
        run: trains for a number of updates of each replica.
        setup: seconds until it was ready.
        rates: updates per CPU-second of each round.
    """

    name: str
    case: Case
    run: Callable[[int], Any]
    updates: int
    setup: float
    rates: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Add one round."""
        begun = time.process_time()
        self.run(self.updates)
        seconds = max(time.process_time() - begun, 1e-9)
        self.rates.append(self.updates * self.case.replicas / seconds)


def bench(
    rounds: int, scale: float, only: tuple[str, ...], say: Callable[[str], Any]
) -> dict[str, Any]:
    """Measure all contenders and return the figures.

    Args:
        rounds: turns of each contender; medians are taken over them.
        scale: factor on the number of updates.
        only: names out of `CONTENDERS`.
        say: called with what goes on.
    """
    notes: list[str] = []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _one_core():
            pieces = list(_pieces(scale, only, notes, say))
            limits = _limits(notes)
            for turn in range(rounds):
                say(f"round {turn + 1} of {rounds}")
                if limits:
                    limits.measure()
                for piece in pieces:
                    piece.measure()
        result = {
            "rounds": rounds,
            "limits": limits.record() if limits else None,
            "cases": _summary(pieces, limits),
            "notes": notes,
        }
        if "native" in only and not notes:
            say("two cores, memory, compile time")
            result["native"] = {
                "two_cores": _two_cores(rounds, scale),
                "memory": memory.measure(),
                "compile_seconds": _native_compile_seconds(),
            }
    finally:
        torch.set_num_threads(before)
    if rounds < 9:
        notes.append(f"medians of {rounds} rounds; 9 or more make a figure to quote")
    return result


def _limits(notes: list[str]) -> Limits | None:
    """Return what the core can do, or None with a note where there is no compiler."""
    try:
        limits = Limits.make()
        limits.measure()
    except CompilerError as error:
        notes.append(f"limits of the processor: not measured; {error}")
        return None
    return limits


def _pieces(
    scale: float, only: tuple[str, ...], notes: list[str], say: Callable[[str], Any]
) -> Iterator[Piece]:
    jax = "jax" in only and peers_jax.installed()
    if "jax" in only and not jax:
        notes.append("jax: not installed; pip install 'plastic-learning[bench]'")
    for depth in (5, 10):
        for replicas in (1, 20):
            case = Case.make(RULE, depth, replicas)
            for name, make in _makers(case, only, jax).items():
                say(f"{depth} layers, {replicas} network{'s' * (replicas > 1)}: {name}")
                yield from _ready(name, case, make, scale, notes)
        case = Case.make(EQUATION_9, depth, 1)
        for name in ("native", "eager"):
            if name in only:
                yield from _ready(name, case, partial(_backend, name), scale, notes)


def _makers(case: Case, only: tuple[str, ...], jax: bool) -> dict[str, Maker]:
    makers: dict[str, Maker] = {
        name: partial(_backend, name) for name in ("native", "compiled", "eager") if name in only
    }
    if case.replicas > 1:
        if jax:
            makers["jax replica-major"] = peers_jax.replica_major
            makers["jax vmap"] = peers_jax.vmap
        return makers
    if "autograd" in only:
        makers["autograd, functional"] = peers_torch.functional
        makers["autograd, nn.Module"] = peers_torch.module
    if jax:
        makers["jax scan"] = peers_jax.scan
    return makers


def _backend(name: str, case: Case) -> Callable[[int], list[torch.Tensor]]:
    backend, parameters = case.backend(name)
    before = {key: value.clone() for key, value in parameters.named().items()}

    def train(updates: int) -> list[torch.Tensor]:
        # from the beginning each time, for some rules diverge in the long run
        for key, value in parameters.named().items():
            value.copy_(before[key])
        failed = backend.advance(case.order(updates))
        assert (failed < 0).all(), "a network that diverges is trained no further"
        return [w[0] for w in parameters.weights]

    return train


def _ready(
    name: str,
    case: Case,
    make: Maker,
    scale: float,
    notes: list[str],
) -> Iterator[Piece]:
    """Yield the contender warmed up, and checked to compute what eager does."""
    begun = time.perf_counter()
    try:
        run = make(case)
    except CompilerError as error:
        note = f"{name}: left out; {error}"
        if note not in notes:
            notes.append(note)
        return
    weights = run(20)
    setup = time.perf_counter() - begun
    if weights is not None:
        expected = _backend("eager", case)(20)
        for ours, reference in zip(weights, expected, strict=True):
            if not torch.allclose(ours, reference, rtol=1e-3, atol=1e-4):
                raise PlasticError(
                    f"bench: '{name}' does not compute what the eager backend does, so that its "
                    "time would mean nothing; please report this"
                )
    updates = max(1, int(_UPDATES[name] * scale / (case.replicas if "jax" not in name else 1)))
    run(updates)  # JAX compiles for each number of updates
    yield Piece(name, case, run, updates, setup)


def _summary(pieces: list[Piece], limits: Limits | None) -> list[dict[str, Any]]:
    rows = []
    for piece in pieces:
        rate = statistics.median(piece.rates)
        native = next((p for p in pieces if p.case is piece.case and p.name == "native"), None)
        ratios = [a / b for a, b in zip(native.rates, piece.rates, strict=True)] if native else []
        rows.append(
            {
                "contender": piece.name,
                "rule": piece.case.rule,
                "layers": piece.case.depth,
                "replicas": piece.case.replicas,
                "updates_per_cpu_second": rate,
                **_shares(piece.case, rate, limits),
                "native_is_times_as_fast": statistics.median(ratios) if ratios else None,
                "least_ratio": min(ratios, default=None),
                "greatest_ratio": max(ratios, default=None),
                "setup_seconds": piece.setup,
            }
        )
    return rows


def _shares(case: Case, rate: float, limits: Limits | None) -> dict[str, float | None]:
    """Return the shares of what the core can do, None where they are not known."""
    flop, read = case.flop, case.bytes_read
    return {
        "share_of_flop": rate * flop / limits.flop if limits and flop else None,
        "share_of_bytes": rate * read / limits.bytes_of(read // 2) if limits else None,
    }


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Keep the process on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _two_cores(rounds: int, scale: float) -> dict[str, float] | None:
    """Return by how much two threads are faster than one, in wall time, for 20 networks."""
    if (os.cpu_count() or 1) < 2:
        return None
    ratios = {}
    for depth in (5, 10):
        case = Case.make(RULE, depth, 20)
        order = case.order(max(1, int(500 * scale)))
        backends = [case.backend("native", threads=threads)[0] for threads in (1, 2)]
        found = []
        for _ in range(rounds):
            seconds = []
            for backend in backends:
                begun = time.perf_counter()
                backend.advance(order)
                seconds.append(time.perf_counter() - begun)
            found.append(seconds[0] / seconds[1])
        ratios[f"{depth} layers"] = statistics.median(found)
    return ratios


def _native_compile_seconds() -> float:
    """Return the time until the backend is ready when nothing is in the cache."""
    folder = cache_folder()
    before = set(folder.iterdir())
    begun = time.perf_counter()
    Case.make(RULE, 5, 1).backend("native", flags=(f"-DTIMED={time.time_ns()}",))
    seconds = time.perf_counter() - begun
    for library in set(folder.iterdir()) - before:
        library.unlink()
    return seconds
