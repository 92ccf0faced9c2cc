"""Few-shot tasks: few points of few classes to learn from, drawn anew for each episode.

This module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, PositiveInt

from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import NetworkOptions, NetworkSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plastic_core.api.plugin import Dataset

# The data are divided with this seed into those to meta-learn from and those to meta-test on.
_DIVIDING_SEED: Final = 0


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

    def few_shot_network(
        self, inputs: int, classes: int, image: tuple[int, int, int] | None = None
    ) -> NetworkSpec | LayeredSpec:
        """Return the network from `inputs` units to the outputs that `head` asks for.

        The arguments are those of `network_for`.
        """
        return self.network_for(inputs, classes if self.head == "all" else self.ways, image)


def divide(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], classes: int, options: FewShotOptions
) -> Dataset:
    """Return labelled points as a data set: to meta-learn from, and held out for the meta-test.

    The parts share no image. With ``divide="classes"`` they share no class either: two thirds of
    the classes are to learn from.

    Args:
        inputs: ``[N, n]``, or images ``[N, H, W]`` or ``[N, C, H, W]``.
        labels: ``[N]``.
        classes: number of classes.
        options: of the task.
    """
    import numpy as np

    from plastic_core.api.plugin import Dataset

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
    flat = inputs.reshape(len(inputs), -1)
    shape = inputs.shape[1:] if inputs.ndim > 2 else ()
    parts = (flat[first], labels[first], flat[rest], labels[rest])
    return Dataset(*parts, classes, shape=shape)
