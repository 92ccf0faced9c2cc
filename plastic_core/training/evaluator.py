"""How networks do at a point of the learning curve: scores, losses, and what probes measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.backends.backend import Backend

if TYPE_CHECKING:
    from plastic_core.probes.camera import Film
    from plastic_core.probes.probing import Probing
    from plastic_core.results.curves import Curves
    from plastic_core.training.readout import Readout


class Evaluator:
    """Evaluates all replicas, those of several groups at once; used as a context.

    Args:
        backend: evaluates.
        held_out: inputs ``[N, n]`` and targets ``[N, n_L]``, or ``[N, T, n_L]`` where there is one
            at each step.
        loss: gives loss and score of the outputs.
        groups: of replicas; those of a group are evaluated one after the other.
        at_once: groups evaluated at once.
        probing: measures at each evaluation, if anything is to be measured.
        readout: what networks are judged by in place of their own outputs, if anything.
    """

    def __init__(
        self,
        backend: Backend,
        held_out: tuple[Tensor, Tensor],
        loss: Loss,
        groups: Sequence[range],
        at_once: int,
        probing: Probing | None = None,
        readout: Readout | None = None,
    ) -> None:
        self._backend, self._loss = backend, loss
        self._inputs, self._targets = held_out[0], held_out[1].flatten(0, -2)
        self._groups, self._at_once = groups, at_once
        self._probing, self._readout = probing, readout
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start threads, each with one of torch's.

        Small operations are fastest so, threads that share one operation wait for each other, for
        very long where the machine does something else too, and products that are shared are summed
        in another order, so that a network would not be evaluated the same alone and among others.
        """
        self._open.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        # a new thread has to be told before its first product
        pool = ThreadPoolExecutor(self._at_once, initializer=torch.set_num_threads, initargs=(1,))
        self._open.callback(pool.shutdown)
        self._open.enter_context(self._readout or nullcontext())
        self._pool = pool
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        self._open.close()

    def evaluate(self, curves: Curves, point: int) -> None:
        """Fill in one point of the curves."""
        chance, probing = self._loss.chance(self._targets), self._probing

        def evaluate_all(group: range) -> None:
            alive = [replica for replica in group if curves.diverged_at[replica] < 0]
            film = probing.film(group) if probing else None
            for replica in alive:
                self._evaluate(curves, point, replica, chance, film)
            if probing is not None and film is not None:
                probing.measure(curves, group, point, alive, film)

        curves.score[curves.diverged_at >= 0, point] = chance
        with probing.at_point() if probing else nullcontext():
            list(self._pool.map(evaluate_all, self._groups))

    def _evaluate(
        self, curves: Curves, point: int, replica: int, chance: float, film: Film | None
    ) -> None:
        activities = [y[0] for y in self._backend.activities(self._inputs.unsqueeze(0), replica)]
        output, target = activities[-1].unsqueeze(0), self._targets.unsqueeze(0)
        read = output
        if self._readout is not None:
            read = self._readout.outputs(replica, activities).unsqueeze(0)
        # infinite activity leaves nothing to be read, and held-out points may lead further than
        # those that it was trained on
        score = self._loss.score(read, target).item() if read.isfinite().all() else math.nan
        curves.score[replica, point] = score if math.isfinite(score) else chance
        curves.loss[replica, point] = self._loss.value(output, target).double().mean().item()
        if film is not None:
            film.add(activities)
