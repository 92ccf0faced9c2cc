"""The embedded digits to be kept in mind over a delay, by a recurrent network; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import (
    DataDir,
    Dataset,
    Recommended,
    RecurrentOptions,
    RecurrentSpec,
    Task,
    TaskSpec,
)
from plastic_tasks.sources import DIGITS

# Not searched: near those of delayed-mnist-rnn.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 1e-3}),
    Recommended(thetas={"bp": 1e-3, "oja": 1e-4}),
)


class DelayedDigitsRnn(Task[RecurrentOptions]):
    """The digits that come with scikit-learn, shown for some steps and named after a delay.

    As delayed-mnist-rnn, with 64 inputs.
    """

    spec = TaskSpec(
        name="delayed-digits-rnn",
        summary="embedded 8x8 digits after a delay, by a recurrent network; needs no download",
        options=RecurrentOptions,
        recommended=RECOMMENDED,
        data=(DIGITS,),
    )

    def load(self, data_dir: DataDir, options: RecurrentOptions) -> Dataset:
        """Return the digits; `data_dir` is not used."""
        from plastic_tasks.datasets import load_digits

        return load_digits()

    def network(self, options: RecurrentOptions) -> RecurrentSpec:
        """Return the network from 64 pixels to 10 classes."""
        return options.network_for(64, 10)
