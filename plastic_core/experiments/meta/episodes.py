"""Episodes: few points of few classes to learn from, drawn anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plastic_core.api.few_shot import FewShotOptions
from plastic_core.base.errors import PlasticError
from plastic_core.base.seeds import Purpose, seed_sequence


@dataclass(frozen=True)
class Episode:
    """What one network learns from, and what it is asked afterwards.

    Attributes:
        points: indices of the training points, in the order in which they are learned.
        labels: their labels, as units of the output.
        queries: indices of the query points.
        query_labels: their labels.
        network: seed of the network's initial weights and feedback.
    """

    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    queries: NDArray[np.int64]
    query_labels: NDArray[np.int64]
    network: int


class Episodes:
    """Draws episodes from labelled points.

    Args:
        labels: ``[N]``.
        options: of the task.
        where: names the points in messages.

    Raises:
        PlasticError: there are too few classes, or too few points of one.
    """

    def __init__(self, labels: NDArray[np.int64], options: FewShotOptions, where: str) -> None:
        self._options = options
        self._members = {int(c): np.flatnonzero(labels == c) for c in np.unique(labels)}
        if options.ways > len(self._members):
            raise PlasticError(
                f"ways = {options.ways}: {where} have {len(self._members)} classes; give at most "
                f"{len(self._members)}"
            )
        each, fewest = options.shots + options.queries, min(map(len, self._members.values()))
        if each > fewest:
            raise PlasticError(
                f"shots = {options.shots} and queries = {options.queries}: {where} have "
                f"{fewest} points of one class; give at most {fewest} together"
            )

    def draw(self, seed: int, number: int) -> Episode:
        """Return one episode, which seed and number alone decide."""
        options = self._options
        source = np.random.default_rng(seed_sequence(Purpose.EPISODE_POINTS, seed, number))
        classes = source.choice(sorted(self._members), options.ways, replace=False)
        drawn: list[Any] = [
            source.permutation(self._members[c])[: options.shots + options.queries]
            for c in classes.tolist()
        ]
        # all shots first, class by class; they are shuffled, for their order changes the result
        units = classes if options.head == "all" else np.arange(options.ways)
        order = source.permutation(options.ways * options.shots)
        state = seed_sequence(Purpose.EPISODE_NETWORK, seed, number).generate_state(1)[0]
        return Episode(
            points=np.concatenate([d[: options.shots] for d in drawn])[order],
            labels=np.repeat(units, options.shots)[order],
            queries=np.concatenate([d[options.shots :] for d in drawn]),
            query_labels=np.repeat(units, options.queries),
            network=int(state) % 2**31,
        )
