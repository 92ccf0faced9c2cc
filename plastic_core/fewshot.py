"""Few-shot tasks: few points of few classes to learn from, drawn anew for each episode.

This module loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, PositiveInt

from plastic_core.errors import PlasticError
from plastic_core.network_specs import NetworkOptions, NetworkSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plastic_core.plugins import Dataset

# The data are divided with this seed into those to meta-learn from and those to meta-test on.
_DIVIDING_SEED: Final = 0

# Purposes of the generators of an episode; those of a run are 0 to 2.
_POINTS, _NETWORK = 3, 4


class FewShotOptions(NetworkOptions):
    """Options of a few-shot task; a task's own options may extend them."""

    ways: PositiveInt = Field(5, le=10**6, description="classes of one episode")
    shots: PositiveInt = Field(50, le=10**6, description="training points of each class")
    queries: PositiveInt = Field(10, le=10**6, description="query points of each class")
    head: Literal["all", "ways"] = Field(
        "all", description="outputs: one for each class there is, or for each class of an episode"
    )
    divide: Literal["images", "classes"] = Field(
        "images",
        description="meta-test on other images of the same classes, or on other classes",
    )

    def few_shot_network(self, inputs: int, classes: int) -> NetworkSpec:
        """Return the network from `inputs` units to the outputs that `head` asks for."""
        return self.network_for(inputs, classes if self.head == "all" else self.ways)


def divide(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], classes: int, options: FewShotOptions
) -> Dataset:
    """Return labelled points as a data set: to meta-learn from, and held out for the meta-test.

    The parts share no image. With ``divide="classes"`` they share no class either: two thirds of
    the classes are to learn from.

    Args:
        inputs: ``[N, n]``.
        labels: ``[N]``.
        classes: number of classes.
        options: of the task.
    """
    import numpy as np

    from plastic_core.plugins import Dataset

    source = np.random.default_rng(_DIVIDING_SEED)
    if options.divide == "classes":
        learned = source.permutation(classes)[: round(2 * classes / 3)]
        first = np.isin(labels, learned)
    else:
        first = np.zeros(len(labels), bool)
        for label in range(classes):
            members = source.permutation(np.flatnonzero(labels == label))
            first[members[: len(members) // 2]] = True
    rest = ~first
    return Dataset(inputs[first], labels[first], inputs[rest], labels[rest], classes)


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
        import numpy as np

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
        import numpy as np

        options, source = self._options, np.random.default_rng([seed, number, _POINTS])
        classes = source.choice(sorted(self._members), options.ways, replace=False)
        drawn: list[Any] = [
            source.permutation(self._members[c])[: options.shots + options.queries]
            for c in classes.tolist()
        ]
        # all shots first, class by class; they are shuffled, for their order changes the result
        units = classes if options.head == "all" else np.arange(options.ways)
        order = source.permutation(options.ways * options.shots)
        state = np.random.SeedSequence([seed, number, _NETWORK]).generate_state(1)[0]
        return Episode(
            points=np.concatenate([d[: options.shots] for d in drawn])[order],
            labels=np.repeat(units, options.shots)[order],
            queries=np.concatenate([d[options.shots :] for d in drawn]),
            query_labels=np.repeat(units, options.queries),
            network=int(state) % 2**31,
        )
