"""The compiled backend: several steps at a time in one function made by torch.compile.

Replicas run block by block, each block small enough for the cache, on a copy that lies together.
Every call takes a chunk of updates; where fewer are left, or a block has places without a
replica, these are marked as not live and change nothing, so that nothing is compiled again.
Thetas are tensors, for the same reason.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import platformdirs
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.backends.native.compiler import CompilerError, run_compiler
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.locks import TRACING
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters, add_thetas

# Weights of one block together, on a CPU: two networks side by side leave the cache.
_BLOCK_BYTES: Final = 2**20

# Replicas of one block on a GPU, where many are needed to fill it.
_GPU_BLOCK: Final = 4096

# What is smaller may be rounding alone, as the gradient of a bias of attention's keys.
_ROUNDING: Final = 1e-7

# Updates of one call, unless asked otherwise.
_CHUNK: Final = 8


class CannotCompileError(Exception):
    """torch.compile refused the rules; the message says why."""


class CompiledBackend:
    """See `plastic_core.backends.backend.Backend`.

    Args:
        network: the network.
        hooks: the resolved hooks.
        thetas: by rule, ``[R]``.
        parameters: of all replicas, changed in place.
        inputs: ``[N, n]``, the training points.
        targets: ``[N, n_L]``, or ``[N, T, n_L]`` where there is one at each step.
        batch_size: points in one update.
        chunk: updates of one call; with more of them compiling takes longer. By default 8, and 1
            in recurrent networks, each of which has many steps.
        factors: by theta that changes over the run, what it is multiplied by at each update.

    Attributes:
        compile_seconds: the time that compiling took.

    Raises:
        CannotCompileError: torch.compile cannot follow the rules, or there is no C++ compiler, or
            it hangs.
    """

    period = 1

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        chunk: int | None = None,
        factors: Mapping[str, Tensor] | None = None,
    ) -> None:
        recurrent = circuit_of(network).kind in ("recurrent", "sequence")
        add_thetas(parameters, hooks, thetas)
        self._chunk_size = chunk or (1 if recurrent else _CHUNK)
        self._parameters, self._inputs, self._targets = parameters, inputs, targets
        self._thetas, self._batch, self._factors = thetas, batch_size, factors or {}
        self._evaluation = Evaluation(network, hooks, parameters)
        self._alive = torch.ones(parameters.replicas, dtype=torch.bool)
        self._step = FunctionalStep(network, hooks, parameters.weights[0].device)
        self._rules = sorted(thetas)
        most = _GPU_BLOCK if inputs.is_cuda else _BLOCK_BYTES // parameters.bytes_per_replica
        self._block = min(parameters.replicas, max(1, most))
        # a copy of one block's parameters, by name, and what goes in beside them
        self._working = {
            name: value.new_zeros(self._block, *value.shape[1:])
            for name, value in parameters.named().items()
        }
        keep_compiled_code()
        begun = time.perf_counter()
        if not inputs.is_cuda:
            _try_compiler()
        try:
            self._run = self._compile()
        except Exception as error:  # whatever the compiler raises, another backend can do it
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise CannotCompileError(lines[0].strip() if lines else type(error).__name__) from error
        self.compile_seconds = time.perf_counter() - begun

    def advance(self, order: Tensor, first: int = 0) -> Tensor:
        """Train; see `Backend.advance`."""
        failed = torch.full((len(order),), -1)
        living = torch.nonzero(self._alive).flatten()
        if not order.shape[1] or not len(living):
            return failed
        with torch.no_grad():
            for replicas in torch.split(living, self._block):
                failed[replicas] = self._advance_block(replicas, order[replicas], first)
        self._alive &= failed < 0
        return failed

    def freeze(self, replica: int) -> None:
        """Train this replica no further."""
        self._alive[replica] = False

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities; see `Backend.activities`."""
        with torch.inference_mode():
            return self._evaluation.activities(x, replica)

    def _compile(self) -> Callable[..., Tensor]:
        """Return the compiled form of `_chunk`, its tensors handed over one by one.

        The hooks are followed on tensors first, so that torch.compile sees operations alone:
        nothing of a rule's Python can make it compile twice.
        """
        names, rules = list(self._working), self._rules

        def flat(*tensors: Tensor) -> Tensor:
            working = dict(zip(names, tensors, strict=False))
            thetas = list(tensors[len(names) : len(names) + len(rules)])
            inputs, targets, live = tensors[-3:]
            return self._chunk(working, thetas, inputs, targets, live)

        chunk = self._chunk_size
        points = torch.zeros(chunk, self._block, self._batch, dtype=torch.int64)
        points = points.to(self._inputs.device)
        nothing = [self._thetas[rule].new_zeros(self._block, 1, 1) for rule in rules]
        example = [
            *self._working.values(),
            *self._at(nothing, 0, chunk),
            *self._shown(points),
            torch.zeros(chunk, self._block, 1, 1, dtype=torch.bool, device=points.device),
        ]
        with TRACING, torch.no_grad():
            # once without being followed: constants that are made at first use are there then
            flat(*example)
            graph = make_fx(flat)(*example)
            if make_fx(flat)(*example).code != graph.code:
                raise ValueError("a rule does something else at each call")
            compiled = _compiled(graph, example)
            self._compare(graph, compiled, example)

        def run(working: dict[str, Tensor], thetas: list[Tensor], *points: Tensor) -> Tensor:
            with TRACING:
                finite: Tensor = compiled(*working.values(), *thetas, *points)
            return finite

        return run

    def _shown(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of points, ``[updates, R, K]``."""
        return self._inputs[points], self._targets[points].flatten(2, -2)

    def _compare(
        self, graph: fx.GraphModule, compiled: Callable[..., Tensor], example: list[Tensor]
    ) -> None:
        """Let both learn from the same points; torch.compile has its own faults.

        Raises:
            ValueError: they do not learn the same.
        """
        found = []
        for learn in (graph, compiled):
            ours = self._parameters.slice(0, self._block).named()
            thetas = [self._thetas[rule][: self._block].view(-1, 1, 1) for rule in self._rules]
            points = torch.arange(example[-1].shape[0] * self._block * self._batch)
            points = (points % len(self._inputs)).view(-1, self._block, self._batch)
            points = points.to(self._inputs.device)
            given = [value.clone(memory_format=torch.contiguous_format) for value in ours.values()]
            live = torch.ones_like(example[-1])
            thetas = self._at(thetas, 0, len(live))
            learn(*given, *thetas, *self._shown(points), live)
            found.append(given)
        for old, value, other in zip(ours.values(), *found, strict=True):
            change, off = (float((one - value).abs().max()) for one in (old, other))
            # what learning makes of rounding is far smaller, and of a fault as large as the change
            bound = max(0.5 * change, 1e-4 * float(value.abs().max()), _ROUNDING)
            if math.isfinite(bound) and off > bound:
                raise ValueError("torch.compile gives other numbers than what it was given")

    def _at(self, thetas: list[Tensor], first: int, updates: int) -> list[Tensor]:
        """Return thetas, ``[updates, R, 1, 1]`` of those that change over the run."""
        found = []
        for rule, theta in zip(self._rules, thetas, strict=True):
            if (factors := self._factors.get(rule)) is not None:
                # beyond the end nothing is live
                numbers = torch.arange(first, first + updates).clamp(max=len(factors) - 1)
                theta = theta * factors.to(theta)[numbers].view(-1, 1, 1, 1)
            found.append(theta)
        return found

    def _advance_block(self, replicas: Tensor, order: Tensor, first: int) -> Tensor:
        """Train up to a block of replicas; return where each failed, or -1."""
        count, samples = order.shape
        tensors = self._parameters.named()
        for name, working in self._working.items():
            working[:count] = tensors[name][replicas]
        whole = samples // self._batch * self._batch
        healthy = [self._call(order[:, :whole], self._batch, replicas.tolist(), first)]
        if whole < samples:
            # a smaller batch has another shape; once in a run is not worth compiling
            number = first + whole // self._batch
            rest = order[:, whole:]
            healthy.append(self._call(rest, samples - whole, replicas.tolist(), number, True))
        for name, working in self._working.items():
            tensors[name][replicas] = working[:count]
        points = torch.arange(0, samples, self._batch).unsqueeze(1)
        bad = torch.where(torch.cat(healthy), samples, points).min(0).values
        matrices = [
            working[:count] for name, working in self._working.items() if "state" not in name
        ]
        finite = torch.stack([m.isfinite().all(-1).all(-1) for m in matrices]).all(0).cpu()
        failed = torch.where(bad < samples, bad, -1)
        return torch.where((failed < 0) & ~finite, samples - 1, failed)

    def _call(
        self, order: Tensor, events: int, replicas: list[int], first: int, by_steps: bool = False
    ) -> Tensor:
        """Take the updates of `order`; return ``[updates, R]``, whether outputs were finite."""
        device, places = self._inputs.device, self._block
        count, updates = len(replicas), order.shape[1] // events
        if not updates:  # where all points together are fewer than a batch
            return torch.ones(0, count, dtype=torch.bool)
        chunk = 1 if by_steps else self._chunk_size
        padded = -(-updates // chunk) * chunk
        points = torch.zeros(places, padded * events, dtype=torch.int64)
        live = torch.zeros(padded, places, 1, 1, dtype=torch.bool)
        points[:count, : updates * events] = order[:count]
        live[:updates, :count] = True
        thetas = []
        for rule in self._rules:
            theta = self._thetas[rule].new_zeros(places, 1, 1)
            theta[:count, 0, 0] = self._thetas[rule][replicas]
            thetas.append(theta)
        run = self._chunk if by_steps else self._run
        healthy = []
        # [chunks, updates, R, K], so that the points of each step lie together, as they did when
        # it was compiled
        picks = points.view(places, -1, chunk, events).permute(1, 2, 0, 3).contiguous().to(device)
        for pick, alive in zip(picks.unbind(), torch.split(live.to(device), chunk), strict=True):
            now = self._at(thetas, first, chunk)
            finite = run(self._working, now, *self._shown(pick), alive)
            # kept there: waiting for a GPU at each call leaves it idle in between
            healthy.append(finite.clone())
            first += chunk
        return torch.cat(healthy)[:updates, :count].cpu()

    def _chunk(
        self,
        working: dict[str, Tensor],
        thetas: list[Tensor],
        inputs: Tensor,
        targets: Tensor,
        live: Tensor,
    ) -> Tensor:
        """Take one step for each row of `inputs`; return ``[updates, R]``, whether finite."""
        values = dict(working)
        by_name = dict(zip(self._rules, thetas, strict=True))
        finite = []
        shown = zip(inputs.unbind(), targets.unbind(), live.unbind(), strict=True)
        for update, (x, target, alive) in enumerate(shown):
            now = by_name | {name: by_name[name][update] for name in self._factors}
            # those of rules that have several are read beside the states
            values |= {k: now[n] for n in self._factors if (k := f"state.theta.{n}") in values}
            old = self._parameters.with_values(values)
            new, outputs = self._step(old, now, x, target)
            values = {
                name: torch.where(alive, after, values[name]) for name, after in new.named().items()
            }
            finite.append(outputs.isfinite().all(-1).all(-1))
        for name, value in working.items():
            value.copy_(values[name])
        return torch.stack(finite)


def _try_compiler() -> None:
    """Compile an empty file, for torch waits without end for a compiler that hangs.

    Raises:
        CannotCompileError: the compiler does not end.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is not None:  # where there is none torch says so
        try:
            run_compiler([compiler, "-x", "c++", "-c", os.devnull, "-o", os.devnull])
        except CompilerError as error:
            raise CannotCompileError(str(error)) from None


# What this process has compiled, by the operations and the shapes.
_KNOWN: Final[dict[str, Callable[..., Tensor]]] = {}


def _compiled(graph: fx.GraphModule, example: list[Tensor]) -> Callable[..., Tensor]:
    """Return a graph compiled, the same one as before where nothing but a theta differs."""
    constants = {name: value.tolist() for name, value in graph.named_buffers()}
    shapes = [(tuple(t.shape), t.dtype, t.device.type) for t in example]
    key = repr((graph.code, constants, shapes))
    if key not in _KNOWN:
        # what calls the kernels must not be Python: on a GPU a recorded graph, else C++
        option = "triton.cudagraphs" if example[0].is_cuda else "cpp_wrapper"
        _KNOWN[key] = torch.compile(graph, fullgraph=True, dynamic=False, options={option: True})
        _KNOWN[key](*example)
    return _KNOWN[key]


def keep_compiled_code() -> None:
    """Let torch keep what it compiles in the user's cache folder, unless told where already."""
    folder = Path(platformdirs.user_cache_dir("plastic")) / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
