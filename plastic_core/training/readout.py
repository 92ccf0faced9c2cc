"""A readout: how much of what is asked for can be read from the activity of a network.

Where no rule is told what is right, the network's own outputs say nothing of what was learned
below them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

from plastic_core.api.circuit import Circuit, Node
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.plan.run_spec import RunSpec

#: Of a readout by neighbours, as scikit-learn has it unless told otherwise.
NEIGHBOURS: Final = 5


class Readout:
    r"""Fitted anew to each network at each evaluation, by scikit-learn, on training points alone.

    "linear" is ridge regression of the targets, one-hot for classes, on activities that are scaled
    to mean 0 and deviation 1 by the same training points:

    .. math:: \min_{V, b} \sum_k \lVert t_k - V \tilde y_k - b \rVert^2 + \lVert V \rVert^2

    "knn" is the mean of the targets of the five nearest training points. A class is right where its
    number is the greatest, so that they are the `RidgeClassifier` and `KNeighborsClassifier`.

    Args:
        spec: what is fitted, to which layers.
        circuit: of the networks.
        activities: computes y_0 .. y_L of one network at points ``[1, N, n_0]``.
        evaluation: of the same networks.
        training: inputs ``[N, n_0]`` and targets ``[N, n_L]``, or ``[N, T, n_L]`` where there is
            one at each step.
        held_out: inputs of the points that are asked, ``[M, n_0]``.
    """

    def __init__(
        self,
        spec: RunSpec,
        circuit: Circuit,
        activities: Callable[[Tensor, int], Sequence[Tensor]],
        evaluation: Evaluation,
        training: tuple[Tensor, Tensor],
        held_out: Tensor,
    ) -> None:
        self._kind, self._all = spec.readout, spec.readout_layers == "all"
        self._circuit, self._activities, self._evaluation = circuit, activities, evaluation
        self._inputs, self._asked = training[0].unsqueeze(0), held_out.unsqueeze(0)
        self._targets = training[1].flatten(0, -2)
        self._wanted = self._targets.double().cpu().numpy()
        self._limited = False
        self._starting, self._one_thread = threading.Lock(), contextlib.ExitStack()
        # importing scikit-learn takes a second, in which networks can be trained
        threading.Thread(target=_scikit_learn).start()

    def __enter__(self) -> Self:
        """Let sums have one order from the first fit on, whatever else runs beside it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the libraries their threads back."""
        self._one_thread.close()

    def outputs(self, replica: int, activities: Sequence[Tensor]) -> Tensor:
        """Return what is read from one network, ``[M, n_L]``; NaN where its activity is infinite.

        Args:
            replica: the network.
            activities: its y_0 .. y_L at held-out points, ``[M, n_l]``.
        """
        fitted = self._seen(replica, self._inputs, self._activities(self._inputs, replica))
        asked = self._seen(replica, self._asked, activities)
        # of what is too large to be squared no regression can be made
        if not all(seen.square().sum().isfinite() for seen in (fitted, asked)):
            return self._targets.new_full((len(asked), self._targets.shape[1]), torch.nan)
        sklearn, libraries = _scikit_learn()
        with self._starting:  # of BLAS there is one number for all threads, of OpenMP one for each
            if not self._limited:
                self._one_thread.enter_context(libraries.limit(limits=1, user_api="blas"))
            self._limited = True
        # what it would check takes as long as what it computes
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
            if self._kind == "linear":
                read = _by_line(fitted.numpy(), self._wanted, asked.numpy())
            else:
                with libraries.limit(limits=1, user_api="openmp"):
                    read = _by_neighbours(fitted.numpy(), self._wanted, asked.numpy())
        return torch.from_numpy(read).to(self._targets)

    def _seen(self, replica: int, x: Tensor, activities: Sequence[Tensor]) -> Tensor:
        """Return what is read from: hidden activities, or the inputs where there are none."""
        if self._circuit.kind == "sequence":
            return self._at_each_step(replica, x)
        hidden = activities[1:-1] or activities[:1]
        layers = hidden if self._all else hidden[-1:]
        return torch.cat([y.reshape(x.shape[1], -1) for y in layers], 1).double().cpu()

    def _at_each_step(self, replica: int, x: Tensor) -> Tensor:
        """Return the hidden activity at each step, ``[N T, n]``."""
        last = self._circuit.populations[1]
        steps = [Node(last.series, step) for step in range(last.step + 1)]
        nodes = self._evaluation.nodes(x, replica, steps)
        return torch.stack([nodes[step][0] for step in steps], 1).flatten(0, 1).double().cpu()


def _by_neighbours(
    fitted: NDArray[Any], targets: NDArray[Any], asked: NDArray[Any]
) -> NDArray[Any]:
    """Return the mean target of the nearest of the points that were fitted."""
    from sklearn.neighbors import KNeighborsRegressor

    model = KNeighborsRegressor(min(NEIGHBOURS, len(fitted)))
    read: NDArray[Any] = model.fit(fitted, targets).predict(asked)
    return read


def _by_line(fitted: NDArray[Any], targets: NDArray[Any], asked: NDArray[Any]) -> NDArray[Any]:
    """Return what ridge regression of scaled activity gives.

    As StandardScaler and Ridge do it, whose calls take several times as long as their sums.
    """
    from sklearn.linear_model import ridge_regression

    mean, spread, intercept = fitted.mean(0), fitted.std(0), targets.mean(0)
    # of a column that is constant rounding leaves something, which is no spread
    spread[spread <= len(fitted) * np.finfo(float).eps * abs(mean)] = 1
    scaled = (fitted - mean) / spread
    slopes = ridge_regression(scaled, targets - intercept, alpha=1.0, solver="cholesky") / spread
    read: NDArray[Any] = asked @ slopes.T + (intercept - slopes @ mean)
    return read


@functools.cache
def _scikit_learn() -> tuple[Any, ThreadpoolController]:
    """Return scikit-learn, with what is used of it, and the libraries that it multiplies with."""
    for module in ("linear_model", "neighbors"):
        importlib.import_module(f"sklearn.{module}")
    return importlib.import_module("sklearn"), ThreadpoolController()
