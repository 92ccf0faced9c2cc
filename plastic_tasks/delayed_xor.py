"""Bits to be compared with earlier ones, step by step; no download."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from plastic_core.api import (
    DataDir,
    Dataset,
    Recommended,
    SequenceOptions,
    SequenceSpec,
    Task,
    TaskSpec,
)

# The sequences are the same for all networks; a seed decides their order.
_SEED: Final = 0

_TRAINING, _HELD_OUT = 2000, 1000

# From a grid of five values for bp and four for oja, five seeds, on the choosing half.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.01}),
    Recommended(thetas={"bp": 0.01, "oja": 1e-5}),
)


class DelayedXorOptions(SequenceOptions):
    """Options of delayed-xor: the network's, and how far back to compare."""

    delay: PositiveInt = Field(2, le=10**6, description="steps to the bit that is compared with")

    @model_validator(mode="after")
    def _some_bits_are_compared(self) -> Self:
        if self.delay >= self.steps:
            raise ValueError(
                f"delay = {self.delay}: no bit of {self.steps} steps has one so long before it; "
                f"give at most {self.steps - 1}, or more steps"
            )
        return self


class DelayedXor(Task[DelayedXorOptions]):
    r"""Says at each step whether the bit that is shown differs from the one ``delay`` steps before.

    .. math:: x_t = (1 - u_t, u_t), \quad c_t = u_t \oplus u_{t - d}, \quad P(u_t = 1) = 1/2,
              \quad u_t = 0 \text{ before the first step}

    d is ``delay``. A network that remembers nothing is right half of the time, and no linear one
    does better; the first d steps are compared with 0. 2,000 training sequences of ``steps`` bits,
    reshuffled in passes up to ``samples``; 500 sequences to choose by and 500 to report.
    """

    spec = TaskSpec(
        name="delayed-xor",
        summary="bits compared with earlier ones at each step of a sequence; needs no download",
        options=DelayedXorOptions,
        recommended=RECOMMENDED,
    )

    def load(self, data_dir: DataDir, options: DelayedXorOptions) -> Dataset:
        """Return the sequences, drawn anew; `data_dir` is not used."""
        count = _TRAINING + _HELD_OUT
        bits = np.random.default_rng(_SEED).integers(0, 2, (count, options.steps))
        inputs = np.eye(2, dtype=np.float32)[bits].reshape(count, -1)
        before = np.pad(bits, ((0, 0), (options.delay, 0)))[:, : options.steps]
        answers: NDArray[Any] = bits ^ before
        first, rest = slice(_TRAINING), slice(_TRAINING, None)
        return Dataset(inputs[first], answers[first], inputs[rest], answers[rest], classes=2)

    def network(self, options: DelayedXorOptions) -> SequenceSpec:
        """Return the network that is shown a bit and answers at each step."""
        return options.network_for(2, 2)
