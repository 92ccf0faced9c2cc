"""Training between evaluations: the stream of samples, the learning curve, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.backends.backend import Backend
from plastic_core.base.errors import TrainingError
from plastic_core.networks.parameters import Parameters
from plastic_core.results.curves import Curves

if TYPE_CHECKING:
    from plastic_core.probes.camera import Film
    from plastic_core.probes.probing import Probing
    from plastic_core.training.readout import Readout


def train(
    backend: Backend,
    parameters: Parameters,
    order: Tensor,
    batch_size: int,
    held_out: tuple[Tensor, Tensor],
    loss: Loss,
    curves: Curves,
    groups: Sequence[range],
    at_once: int,
    on_point: Callable[[Curves], Any],
    probing: Probing | None = None,
    set_thetas: Callable[[int], Any] = lambda updates: None,
    readout: Readout | None = None,
) -> None:
    """Train all replicas, evaluating at the steps of `curves`, from the first one not yet done.

    Args:
        backend: trains and evaluates.
        parameters: that it changes.
        order: ``[R, samples]``, the training points of each replica.
        batch_size: training points of one update.
        held_out: inputs ``[N, n]`` and targets ``[N, n_L]``, or ``[N, T, n_L]`` where there is one
            at each step.
        loss: gives loss and score of the outputs.
        curves: filled in place.
        groups: of replicas; those of a group are evaluated one after the other.
        at_once: groups evaluated at once.
        on_point: called after each evaluation.
        probing: measures at each evaluation, if anything is to be measured.
        set_thetas: called before each evaluation with the number of updates so far.
        readout: what networks are judged by in place of their own outputs, if anything.
    """
    before = torch.get_num_threads()
    # One thread of torch each: small operations are fastest so, threads that share one operation
    # wait for each other, for very long where the machine does something else too, and products
    # that are shared are summed in another order, so that a network would not be evaluated the
    # same alone and among others. A new thread has to be told before its first product.
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for point in range(curves.done, len(curves.steps)):
            start = int(curves.steps[point - 1]) if point else 0
            stop = int(curves.steps[point])
            # Training goes on from where nothing waits, so that the evaluations change no bit;
            # the few points from there to the evaluation are trained on once more.
            last = point == len(curves.steps) - 1
            go_on = stop if last else stop - stop % backend.period
            begun = time.perf_counter()
            failed = _advance(backend, order, curves.trained_to, go_on, batch_size)
            kept: dict[str, Tensor] = {}
            if go_on < stop:
                kept = {name: value.clone() for name, value in parameters.named().items()}
                again = _advance(backend, order, go_on, stop, batch_size)
                failed = np.maximum(failed, again)
            curves.train_seconds += time.perf_counter() - begun
            alive = curves.diverged_at < 0
            ended = np.where(failed >= 0, failed + 1, stop)
            trained = np.maximum(ended - start, 0)[alive]
            curves.trained += int(trained.sum())
            curves.updates += int(np.ceil(trained / batch_size).sum())
            curves.diverged_at[alive] = failed[alive]
            set_thetas(-(-stop // batch_size))
            _evaluate(backend, held_out, loss, curves, point, groups, pool, probing, readout)
            for name, value in kept.items():
                parameters.named()[name].copy_(value)
            curves.done, curves.trained_to = point + 1, go_on
            on_point(curves)
    finally:
        pool.shutdown()
        torch.set_num_threads(before)


def _advance(
    backend: Backend, order: Tensor, start: int, stop: int, batch_size: int
) -> NDArray[np.int64]:
    """Train on some of the points; return where each replica diverged, or -1.

    Raises:
        TrainingError: a rule raised; with the sample.
    """
    try:
        failed: NDArray[np.int64] = backend.advance(
            order[:, start:stop], start // batch_size
        ).numpy()
    except TrainingError as error:
        raise TrainingError(f"{error}, at sample {start + error.sample + 1}") from error
    return np.where(failed >= 0, start + failed, -1)


def _evaluate(
    backend: Backend,
    held_out: tuple[Tensor, Tensor],
    loss: Loss,
    curves: Curves,
    point: int,
    groups: Sequence[range],
    pool: Executor,
    probing: Probing | None,
    readout: Readout | None,
) -> None:
    """Evaluate and measure all replicas, those of several groups at once."""
    inputs, targets = held_out[0], held_out[1].flatten(0, -2)
    chance = loss.chance(targets)

    def evaluate(replica: int, film: Film | None) -> None:
        activities = [y[0] for y in backend.activities(inputs.unsqueeze(0), replica)]
        output, target = activities[-1].unsqueeze(0), targets.unsqueeze(0)
        read = output if readout is None else readout.outputs(replica, activities).unsqueeze(0)
        # infinite activity leaves nothing to be read
        score = loss.score(read, target).item() if read.isfinite().all() else math.nan
        # held-out points may lead further than those that it was trained on
        curves.score[replica, point] = score if math.isfinite(score) else chance
        curves.loss[replica, point] = loss.value(output, target).double().mean().item()
        if film is not None:
            film.add(activities)

    def evaluate_all(group: range) -> None:
        alive = [replica for replica in group if curves.diverged_at[replica] < 0]
        film = probing.film(group) if probing else None
        for replica in alive:
            evaluate(replica, film)
        if probing is not None and film is not None:
            probing.measure(curves, group, point, alive, film)

    curves.score[curves.diverged_at >= 0, point] = chance
    with probing.at_point() if probing else nullcontext():
        list(pool.map(evaluate_all, groups))
