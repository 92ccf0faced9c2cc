"""What is measured at the evaluation points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.scores import ACCURACY


@dataclass
class Curves:
    """What is measured at the evaluation points.

    Attributes:
        steps: samples seen at each point.
        score: ``[R, points]``, chance level from the point on where a replica diverged.
        loss: ``[R, points]``, mean over the held-out points, NaN where diverged.
        diverged_at: ``[R]``, the sample at which a replica left the finite range, or -1.
        score_name: which score it is.
        done: number of points measured.
        trained_to: the sample after which the parameters are: that of the last point measured, or
            a few before it, where training goes on (`plastic_core.backends.backend.Backend`).
        train_seconds: time in the training loop.
        trained: samples that replicas were trained on, summed over the replicas.
        updates: that they took, a mini-batch each.
        probes: by variable, ``[R, points, ...]``, or ``[R, ...]`` for what is measured at the
            last point alone; NaN where diverged.
    """

    steps: NDArray[np.int64]
    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    diverged_at: NDArray[np.int64]
    score_name: str = ACCURACY
    done: int = 0
    trained_to: int = 0
    train_seconds: float = 0.0
    trained: int = 0
    updates: int = 0
    probes: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def samples_per_second(self) -> float:
        """Training points a second, of all replicas together."""
        return self.trained / max(self.train_seconds, 1e-9)

    @property
    def updates_per_second(self) -> float:
        """Updates a second, of all replicas together."""
        return self.updates / max(self.train_seconds, 1e-9)

    @classmethod
    def empty(cls, replicas: int, steps: NDArray[np.int64], score_name: str) -> Curves:
        """Return curves with nothing measured."""
        shape = (replicas, len(steps))
        score, loss = np.full(shape, np.nan), np.full(shape, np.nan)
        return cls(steps, score, loss, np.full(replicas, -1, np.int64), score_name)


def evaluation_steps(samples: int, evaluations: int, batch_size: int) -> NDArray[np.int64]:
    """Return the evenly spaced points of the learning curve, in samples seen.

    They fall on whole batches, so there may be fewer of them than asked for; the last is
    `samples`.
    """
    ideal = samples * np.arange(1, evaluations + 1) / evaluations
    steps = (np.ceil(ideal / batch_size) * batch_size).astype(np.int64)
    return np.unique(np.minimum(steps, samples))
