"""The reference backend: the engine's step in a Python loop over samples, block by block.

Replicas run in blocks, each small enough to stay in the cache while it works through a chunk of
samples: twenty networks at once are slower than four times five (one after the other, the cost
of dispatch is not shared). No number depends on the size of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.eager.engine import Engine
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import TrainingError
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters

# Weights of one block together; beyond the second-level cache throughput halves.
_BLOCK_BYTES: Final = 4 * 2**20

# The same with transforms, which make several arrays as large as the weights at each step.
_TRANSFORMED_BYTES: Final = 2**20

# Updates between two checks for divergence; the points of a chunk are gathered at once.
_CHUNK: Final = 64


class EagerBackend:
    """See `plastic_core.backends.backend.Backend`.

    Args:
        network: the network.
        hooks: the resolved hooks.
        thetas: by rule, ``[R]``.
        parameters: of all replicas, changed in place.
        inputs: ``[N, n]``, the training points.
        targets: ``[N, n_L]``, or ``[N, T, n_L]`` where there is one at each step.
        batch_size: points in one update.
        factors: by theta that changes over the run, what it is multiplied by at each update.
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
        factors: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._network, self._hooks, self._thetas = network, hooks.guarded(), thetas
        self._factors = factors
        self._parameters = parameters
        self._inputs, self._targets = inputs, targets
        self._batch_size = batch_size
        self._alive = [True] * parameters.replicas
        self._evaluation = Evaluation(network, self._hooks, parameters)
        self._blocks = self._make_blocks()

    def advance(self, order: Tensor, first: int = 0) -> Tensor:
        """Train; see `Backend.advance`."""
        failed = torch.full((order.shape[0],), -1)
        with torch.inference_mode():
            for start, stop, engine in self._blocks:
                failed[start:stop] = self._advance_block(engine, order[start:stop], first)
        if bool((failed >= 0).any()):
            for replica in torch.nonzero(failed >= 0).flatten().tolist():
                self._alive[replica] = False
            self._blocks = self._make_blocks()
        return failed

    def freeze(self, replica: int) -> None:
        """Train this replica no further."""
        self._alive[replica] = False
        self._blocks = self._make_blocks()

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities; see `Backend.activities`."""
        with torch.inference_mode():
            return self._evaluation.activities(x, replica)

    def _advance_block(self, engine: Engine, order: Tensor, first: int) -> Tensor:
        failed = torch.full((order.shape[0],), -1)
        samples, batch = order.shape[1], self._batch_size
        start = 0
        while start < samples:
            # whole batches, then what remains as a smaller one
            updates = max(1, min(_CHUNK, (samples - start) // batch))
            events = min(batch, samples - start)
            stop = start + updates * events
            try:
                number = first + start // batch
                healthy = self._run_chunk(engine, order[:, start:stop], events, number)
            except TrainingError as error:
                error.sample += start
                raise
            points = torch.arange(start, stop, events).unsqueeze(1)
            first_bad = torch.where(healthy, samples, points).min(0).values
            failed = torch.where((failed < 0) & (first_bad < samples), first_bad, failed)
            start = stop
        matrices = [*engine.parameters.weights, *engine.parameters.feedback]
        finite = torch.stack([m.isfinite().all(-1).all(-1) for m in matrices]).all(0)
        return torch.where((failed < 0) & ~finite.cpu(), samples - 1, failed)

    def _run_chunk(self, engine: Engine, order: Tensor, events: int, first: int) -> Tensor:
        """Take the steps of one chunk; return for each step and replica whether it was finite."""
        replicas = order.shape[0]
        # [updates, R, K], so that the points of each step lie together
        picks = order.reshape(replicas, -1, events).transpose(0, 1).to(self._inputs.device)
        inputs, targets = self._inputs[picks], self._targets[picks].flatten(2, -2)
        outputs = torch.empty_like(targets)
        update = 0
        try:
            for x, target, kept in zip(
                inputs.unbind(), targets.unbind(), outputs.unbind(), strict=True
            ):
                kept.copy_(engine.step(x, target, first + update))
                update += 1
        except TrainingError as error:
            error.sample = update * events
            raise
        return outputs.isfinite().all(-1).all(-1).cpu()

    def _make_blocks(self) -> list[tuple[int, int, Engine]]:
        """Cut each run of living replicas into blocks of about equal size."""
        most = _TRANSFORMED_BYTES if self._hooks.transforms else _BLOCK_BYTES
        most = max(1, most // self._parameters.bytes_per_replica)
        if self._inputs.is_cuda:  # which is filled by many at once, and has no such cache
            most = len(self._alive)
        blocks: list[tuple[int, int]] = []
        for first, last in _runs(self._alive):
            count = -(-(last - first) // most)
            edges = [first + (last - first) * i // count for i in range(count + 1)]
            blocks += pairwise(edges)
        return [(first, last, self._engine(first, last)) for first, last in blocks]

    def _engine(self, first: int, last: int) -> Engine:
        thetas = {name: theta[first:last] for name, theta in self._thetas.items()}
        parameters = self._parameters.slice(first, last)
        return Engine(self._network, self._hooks, thetas, parameters, self._factors)


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Return the ranges of successive true flags."""
    edges = [
        i
        for i in range(len(flags) + 1)
        if (i > 0 and flags[i - 1]) != (i < len(flags) and flags[i])
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))
