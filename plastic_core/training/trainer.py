"""Training between evaluations: the stream of samples, the learning curve, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.backends.backend import Backend
from plastic_core.base.errors import TrainingError
from plastic_core.networks.parameters import Parameters
from plastic_core.results.curves import Curves

if TYPE_CHECKING:
    from plastic_core.training.evaluator import Evaluator


def train(
    backend: Backend,
    parameters: Parameters,
    order: Tensor,
    batch_size: int,
    curves: Curves,
    points: range,
    evaluator: Evaluator,
    on_point: Callable[[Curves], Any],
    set_thetas: Callable[[int], Any] = lambda updates: None,
) -> None:
    """Train all replicas, evaluating at some points of `curves`, from the first one not yet done.

    Args:
        backend: trains and evaluates.
        parameters: that it changes.
        order: ``[R, samples]``, the training points of each replica, up to the last point.
        batch_size: training points of one update.
        curves: filled in place.
        points: of the curves; those before them were measured already.
        evaluator: fills in the curves.
        on_point: called after each evaluation.
        set_thetas: called before each evaluation with the number of updates so far.
    """
    begin = int(curves.steps[points.start - 1]) if points.start else 0
    with evaluator:
        for point in range(max(points.start, curves.done), points.stop):
            start = int(curves.steps[point - 1]) if point else 0
            stop = int(curves.steps[point])
            # Training goes on from where nothing waits, so that the evaluations change no bit;
            # the few points from there to the evaluation are trained on once more.
            last = point == points.stop - 1
            go_on = stop if last else stop - (stop - begin) % backend.period
            begun = time.perf_counter()
            failed = _advance(backend, order, curves.trained_to, go_on, batch_size, begin)
            kept: dict[str, Tensor] = {}
            if go_on < stop:
                kept = {name: value.clone() for name, value in parameters.named().items()}
                again = _advance(backend, order, go_on, stop, batch_size, begin)
                failed = np.maximum(failed, again)
            curves.train_seconds += time.perf_counter() - begun
            alive = curves.diverged_at < 0
            ended = np.where(failed >= 0, failed + 1, stop)
            trained = np.maximum(ended - start, 0)[alive]
            curves.trained += int(trained.sum())
            curves.updates += int(np.ceil(trained / batch_size).sum())
            curves.diverged_at[alive] = failed[alive]
            set_thetas(-(-(stop - begin) // batch_size))
            evaluator.evaluate(curves, point)
            for name, value in kept.items():
                parameters.named()[name].copy_(value)
            curves.done, curves.trained_to = point + 1, go_on
            on_point(curves)


def _advance(
    backend: Backend, order: Tensor, start: int, stop: int, batch_size: int, begin: int
) -> NDArray[np.int64]:
    """Train on some of the points; return where each replica diverged, or -1.

    Raises:
        TrainingError: a rule raised; with the sample.
    """
    try:
        failed: NDArray[np.int64] = backend.advance(
            order[:, start - begin : stop - begin], (start - begin) // batch_size
        ).numpy()
    except TrainingError as error:
        raise TrainingError(f"{error}, at sample {start + error.sample + 1}") from error
    return np.where(failed >= 0, start + failed, -1)
