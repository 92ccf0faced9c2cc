"""The native backend: networks trained by generated C, one network to a thread.

A network is copied into a workspace of its thread, which stays in the second-level cache, and
trained there on all points up to the next evaluation. No number depends on how many networks or
threads run side by side.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.activation import Activation
from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.native.c_activation import emit_activations
from plastic_core.backends.native.c_source import AHEAD_PERIOD, DECAY_PERIOD, emit
from plastic_core.backends.native.capture import capture
from plastic_core.backends.native.code import VECTOR_SIGNALS
from plastic_core.backends.native.library import Library, load_library
from plastic_core.backends.native.program import NotNativeError, Program
from plastic_core.backends.native.step_table import StepTable
from plastic_core.backends.step.description import Description
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, count_updates
from plastic_core.networks.parameters import Parameters, add_thetas

# What waits is divided by what has not decayed yet, which must not come near zero.
_FAST_DECAY: Final = 0.1

_INTEGERS = (
    *("projections", "replicas", "samples", "batch", "begun", "stop", "next", "buffers", "places"),
    *("operations", "forward", "input", "output", "outputs", "answers", "ahead", "layouts"),
)
_POINTERS = (
    *("units", "nodes", "place", "operation", "rows", "columns", "events", "signals", "kinds"),
    *("layout_begins", "layout"),
    *("alive", "periods", "weights", "weight_strides"),
    *("feedback", "feedback_strides", "feedback_rows"),
    *("states", "state_strides", "state_sizes", "matrix_states", "matrix_state_strides"),
    *("own_matrices", "own_strides", "masks"),
    *("thetas", "factors", "constants", "inputs", "targets", "order"),
    *("noise", "noise_names", "failed"),
)


class Job(ctypes.Structure):
    """The struct `job_t` of network.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("directions", ctypes.c_int64),
        ("weight_tangents", ctypes.c_void_p),
        ("feedback_tangents", ctypes.c_void_p),
    ]


@dataclass(frozen=True)
class NativeCode:
    """What the C of a run is made of, and what it became; used again for the same rules.

    Attributes:
        program: what the rules compute.
        table: what a step consists of.
        source: the C code.
        library: what they became.
    """

    program: Program
    table: StepTable
    source: str
    library: Library


class NativeBackend:
    """See `plastic_core.backends.backend.Backend`.

    Args:
        network: the network.
        hooks: the resolved hooks.
        thetas: by rule, ``[R]``.
        parameters: of all replicas, changed in place.
        inputs: ``[N, n]``, the training points.
        targets: ``[N, n_L]``, or ``[N, T, n_L]`` where there is one at each step.
        batch_size: points in one update.
        threads: networks trained at once.
        flags: more flags for the compiler.
        code: of another backend with the same network, rules and precision, to be used again.
        factors: by theta that changes over the run, what it is multiplied by at each update.

    Attributes:
        code: what was compiled.
        period: see `plastic_core.backends.backend.Backend`.

    Raises:
        NotNativeError: the rules do something that C is not generated for.
        CompilerError: there is no compiler, or it failed.
    """

    #: Whether products with inputs that are known ahead are made ahead.
    _ahead = True

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        threads: int = 1,
        flags: Sequence[str] = (),
        code: NativeCode | None = None,
        factors: Mapping[str, Tensor] | None = None,
    ) -> None:
        circuit = circuit_of(network)
        add_thetas(parameters, hooks, thetas)
        if code is None:
            if hooks.settle is not None:
                raise NotNativeError("C is not generated for networks that settle")
            if hooks.input is not None:
                raise NotNativeError(
                    "C is not generated for several passes in an update that show different inputs "
                    "(plastic_input)"
                )
            dtype = parameters.weights[0].dtype
            first, *later = [Description(circuit, hooks, i) for i in range(hooks.passes)]
            program = capture(first, dtype, later, self._ahead)
            table = StepTable(first, program, later)
            source = self._emit(program, table, dtype)
            code = NativeCode(program, table, source, load_library(source, "plastic_train", flags))
        self.code = code
        self.period = _period(code.program, batch_size)
        self._alive = torch.ones(parameters.replicas, dtype=torch.uint8)
        self._evaluation = Evaluation(circuit, hooks, parameters, self._activate)
        self._threads = threads
        self._kept: list[Tensor] = []
        self._states = parameters.state
        self._job = self._make_job(code, thetas, parameters, inputs, targets, batch_size)
        like = parameters.weights[0]
        masks = [None if m is None else m.to(like) for m in masks_of(circuit, None)["forward"]]
        self._kept += [mask for mask in masks if mask is not None]
        self._job.masks = self._pointers(masks)
        if factors:
            one = torch.ones_like(next(iter(factors.values())))
            columns = [factors.get(name, one).to(like) for name in code.program.thetas]
            self._job.factors = self._keep(torch.stack(columns, 1))

    def advance(self, order: Tensor, first: int = 0) -> Tensor:
        """Train; see `Backend.advance`."""
        failed = torch.full((len(order),), -1)
        if not order.shape[1]:
            return failed
        points = order.contiguous()
        job = self._job
        job.samples, job.begun, job.next, job.stop = points.shape[1], first, 0, 0
        job.order, job.failed = points.data_ptr(), failed.data_ptr()
        count, library = min(self._threads, len(order)), self.code.library

        def train(*_held: object) -> int:
            # An interrupt while a thread starts leaves it running and unknown to the pool: it
            # holds on to all that it uses, whatever becomes of the caller. The job itself holds
            # addresses alone; what lies there is the backend's.
            status: int = library.loaded.plastic_train(ctypes.byref(job))
            return status

        with ThreadPoolExecutor(count) as pool:
            try:
                running = [pool.submit(train, self, points, failed) for _ in range(count)]
                out_of_memory = sum(map(Future.result, running)) > 0  # of all of them
            except KeyboardInterrupt:
                job.stop = 1  # the threads end after their current sample
                raise
        count_updates(self._states, -(-points.shape[1] // job.batch))
        if out_of_memory:
            raise MemoryError("there is no memory for the workspace of one network")
        self._alive[failed >= 0] = 0
        return failed

    def _emit(self, program: Program, table: StepTable, dtype: torch.dtype) -> str:
        activations = emit_activations(table.activations, dtype)
        return emit(program, activations, dtype == torch.float64)

    def freeze(self, replica: int) -> None:
        """Train this replica no further."""
        self._alive[replica] = 0

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities; see `Backend.activities`."""
        with torch.inference_mode():
            return self._evaluation.activities(x, replica)

    def _activate(self, activation: Activation, z: Tensor) -> Tensor:
        """Return what an activation function makes of all elements."""
        turned = z.mT.is_contiguous()
        z = (z.mT if turned else z).contiguous()
        y = torch.empty_like(z)
        self.code.library.loaded.plastic_activate(
            ctypes.c_int64(self.code.table.activations.index(activation)),
            ctypes.c_void_p(z.data_ptr()),
            ctypes.c_void_p(y.data_ptr()),
            ctypes.c_int64(z.numel()),
        )
        return y.mT if turned else y

    def _make_job(
        self,
        code: NativeCode,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
    ) -> Job:
        program, table = code.program, code.table
        weights, feedback = parameters.weights, parameters.feedback
        dtype = weights[0].dtype
        states = _by_layer(program.states, parameters)
        matrix_states = _by_layer(program.matrix_states, parameters)
        own_matrices = _by_layer(program.own_matrices, parameters)
        layouts = [layout.numbers for layout in table.layouts.tables]
        columns = [thetas[name].to(dtype) for name in program.thetas]
        thetas_of_each = torch.stack(columns, 1) if columns else torch.zeros(len(weights[0]), 1)
        return Job(
            projections=len(weights),
            replicas=parameters.replicas,
            batch=batch_size,
            buffers=len(table.vectors.units),
            places=len(table.vectors.places),
            operations=len(table.operations),
            forward=table.forward,
            input=table.input,
            output=table.output,
            outputs=targets.shape[-1],
            answers=table.answers,
            ahead=table.ahead,
            layouts=len(layouts),
            units=self._integers(table.vectors.units),
            nodes=self._integers(table.vectors.nodes),
            place=self._integers([n for place in table.vectors.places for n in place]),
            operation=self._integers([n for operation in table.operations for n in operation.row]),
            rows=self._integers([w.shape[1] for w in weights]),
            columns=self._integers([w.shape[2] for w in weights]),
            events=self._integers(table.events),
            signals=self._integers(
                [one.get(name, -1) for one in table.signals for name in VECTOR_SIGNALS]
            ),
            kinds=self._integers(program.kind_of),
            layout_begins=self._integers([0, *itertools.accumulate(map(len, layouts))]),
            layout=self._integers([*itertools.chain(*layouts)]),
            alive=self._alive.data_ptr(),
            periods=self._keep(_periods(program, thetas, parameters.replicas)),
            weights=self._pointers(weights),
            weight_strides=self._strides(weights),
            feedback=self._pointers(feedback) if feedback else None,
            feedback_strides=self._strides(feedback),
            feedback_rows=self._integers([b.shape[2] for b in feedback]),
            states=self._pointers(states),
            state_strides=self._strides(states),
            state_sizes=self._integers([0 if s is None else s[0].numel() for s in states]),
            matrix_states=self._pointers(matrix_states),
            matrix_state_strides=self._strides(matrix_states),
            own_matrices=self._pointers(own_matrices),
            own_strides=self._strides(own_matrices),
            thetas=self._keep(thetas_of_each.contiguous()),
            constants=self._keep(torch.tensor([*program.constants, 0.0], dtype=dtype)),
            inputs=self._keep(inputs.contiguous()),
            targets=self._keep(targets.contiguous()),
            noise=parameters.state[NOISE].data_ptr() if NOISE in parameters.state else None,
            noise_names=self._integers([*itertools.chain(*program.noises)]),
        )

    def _integers(self, values: Sequence[int | bool]) -> int:
        return self._keep(torch.tensor([*map(int, values), 0], dtype=torch.int64))

    def _pointers(self, tensors: Sequence[Tensor | None]) -> int:
        return self._integers([0 if t is None else t.data_ptr() for t in tensors])

    def _strides(self, tensors: Sequence[Tensor | None]) -> int:
        return self._integers([0 if t is None else t.stride(0) for t in tensors])

    def _keep(self, tensor: Tensor) -> int:
        """Return the address of a tensor that lives as long as the backend."""
        self._kept.append(tensor)
        return tensor.data_ptr()


def _period(program: Program, batch_size: int) -> int:
    """Return the number of updates after which nothing waits in any matrix."""
    if batch_size > 1 or program.transformed:
        return 1
    updates = [u for kind in program.kinds for u in (kind.weight, kind.feedback) if u is not None]
    alone = any(u.uniform_decay and not u.products for u in updates)
    return DECAY_PERIOD if alone else AHEAD_PERIOD


def _periods(program: Program, thetas: dict[str, Tensor], replicas: int) -> Tensor:
    """Return how many updates may wait in each replica: few where weights decay fast.

    None where increments are transformed.
    """
    if program.transformed:
        return torch.ones(replicas, dtype=torch.int64)
    lost = torch.zeros(replicas, dtype=torch.float64)
    for rule, scale in program.uniform_decays:
        lost += (thetas[rule].double() * scale).abs()
    return torch.where(lost > _FAST_DECAY, 1, AHEAD_PERIOD)


def _by_layer(slots: list[list[str | None]], parameters: Parameters) -> list[Tensor | None]:
    """Return the states of all slots, layer after layer."""
    keys = [key for layer in zip(*slots, strict=True) for key in layer]
    return [None if key is None else parameters.state[key] for key in keys]
