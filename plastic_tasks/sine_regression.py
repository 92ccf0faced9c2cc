"""Sines of linear projections, learned as numbers; no download."""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
from pydantic import Field, FiniteFloat, PositiveInt

from plastic_core.api import (
    AnyNetwork,
    DataDir,
    Dataset,
    NetworkOptions,
    Recommended,
    Task,
    TaskSpec,
)

# The points are the same for all networks; a seed decides their order.
_SEED: Final = 0

_TRAINING, _HELD_OUT = 2000, 1000

# From a grid of seven values for bp and four for oja, five seeds, on the choosing half.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.05}, depth=3),
    Recommended(thetas={"bp": 0.05, "oja": 1e-5}, depth=3),
)


class SineRegressionOptions(NetworkOptions):
    """Options of sine-regression."""

    loss: str = Field("squared-error", description="a loss that takes numbers as targets")
    inputs: PositiveInt = Field(8, le=10**4, description="numbers that each point consists of")
    outputs: PositiveInt = Field(3, le=10**4, description="numbers to predict")
    noise: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.1, description="standard deviation of the noise on the numbers to predict"
    )


class SineRegression(Task[SineRegressionOptions]):
    r"""Noisy sines of linear projections of random points.

    .. math:: t_k = \sin(a_k^\top x) + \varepsilon_k, \quad x_i \sim U(-1, 1), \quad
              a_{ki} \sim N(0, 6 / n), \quad \varepsilon_k \sim N(0, \mathrm{noise}^2)

    n is the number of inputs. 2,000 training points, reshuffled in passes up to ``samples``; 500
    points to choose by and 500 to report. No network does better than the sines without the noise,
    which have an R2 of about 0.98. Two hidden layers of 50 units unless ``layers`` or ``sizes``
    ask for others.
    """

    spec = TaskSpec(
        name="sine-regression",
        summary="noisy sines of linear projections, learned as numbers; needs no download",
        options=SineRegressionOptions,
        recommended=RECOMMENDED,
    )

    def load(self, data_dir: DataDir, options: SineRegressionOptions) -> Dataset:
        """Return the points, drawn anew; `data_dir` is not used."""
        source = np.random.default_rng(_SEED)
        shape = (_TRAINING + _HELD_OUT, options.inputs)
        x = source.uniform(-1, 1, shape)
        a = source.normal(0, np.sqrt(6 / options.inputs), (options.inputs, options.outputs))
        t = np.sin(x @ a) + source.normal(0, options.noise, (len(x), options.outputs))
        inputs, numbers = x.astype(np.float32), t.astype(np.float32)
        first, rest = slice(_TRAINING), slice(_TRAINING, None)
        return Dataset(inputs[first], numbers[first], inputs[rest], numbers[rest])

    def network(self, options: SineRegressionOptions) -> AnyNetwork:
        """Return the network from the numbers of a point to those to predict."""
        ends = options.inputs, options.outputs
        if not (options.layers or options.sizes):
            options = options.model_copy(update={"sizes": (ends[0], 50, 50, ends[1])})
        return options.network_for(*ends)
