"""Data of your own, learned by a multi-layer perceptron."""

from __future__ import annotations

from typing import Final

from plastic_core.api import (
    AnyNetwork,
    DataDir,
    DataError,
    Dataset,
    NetworkOptions,
    Recommended,
    Task,
    TaskSpec,
)

# The best mean score over the four tables named below, of a grid of eight values for bp, and of
# four for each of bp and oja; ten seeds, 5,000 samples, on the choosing half.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.002}, depth=3),
    Recommended(thetas={"bp": 0.002, "oja": 1e-5}, depth=3),
)

# Until the data are seen: an image that most convolutions fit into, and two classes.
_ROWS, _CLASSES = 32, 2


class OwnData(Task[NetworkOptions]):
    """Data of your own, ``--data FILE --target NAME``, learned by a multi-layer perceptron.

    The first and the last layer follow the data. Two hidden layers of 50 units unless ``layers``,
    ``sizes`` or ``net`` ask for others. The recommended thetas are the best on average over four
    tables that come with scikit-learn (wine, breast cancer, digits, diabetes), with ``--scale
    standard``; each of them has better ones of its own, so search where it matters.
    """

    spec = TaskSpec(
        name="own-data",
        summary="your own table, arrays or images (--data FILE) by a multi-layer perceptron",
        options=NetworkOptions,
        recommended=RECOMMENDED,
    )

    def load(self, data_dir: DataDir, options: NetworkOptions) -> Dataset:
        """Say what is missing, for such data come with the run.

        Raises:
            DataError: always.
        """
        raise DataError(
            "own-data: has no data of its own; give --data FILE and --target NAME, or in Python "
            "run(spec, data=(X, y)); or use --task digits-mlp"
        )

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network, whose first and last layer follow the data once they are there."""
        if not (options.layers or options.sizes or options.net):
            options = options.model_copy(update={"sizes": (_ROWS * _ROWS, 50, 50, _CLASSES)})
        return options.network_for(_ROWS * _ROWS, _CLASSES, image=(1, _ROWS, _ROWS))
