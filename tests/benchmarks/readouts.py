"""What Oja's rule alone makes of the digits, as a readout sees it, and what readouts cost.

Run by hand: ``python -m tests.benchmarks.readouts``. Accuracy of a linear readout of one hidden layer
of k units: after Oja's rule, of random weights, of as many principal components, and of the pixels;
differences paired by seed with 98% bootstrap intervals. Then the seconds that a run of the first five
layers of the paper takes with 5 evaluations, with and without readouts, in turns.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plastic_core import RunSpec, run
from plastic_core.base.errors import DataError
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.training.datasets import held_out_half
from plastic_tasks.datasets import load_digits

SEEDS, ROUNDS = 20, 5


def spec_of(rule, units, activation, **fields):
    return RunSpec(
        rule=rule,
        seeds=SEEDS,
        samples=10_000,
        evaluations=1,
        readout_samples=1297,
        options={"sizes": [64, units, 10], "activation": activation},
        **fields,
    )


def per_seed(rule, units, activation):
    return np.array(run(spec_of(rule, units, activation)).summary["score"]["per_seed"])


def shown(values):
    low, high = bootstrap_interval(values)
    return f"{100 * values.mean():6.2f} [{100 * low:6.2f}, {100 * high:6.2f}]"


def accuracies():
    digits = load_digits()
    points, labels = held_out_half(digits, "report", 2000)

    def ridge():
        return make_pipeline(StandardScaler(), RidgeClassifier())

    pixels = ridge().fit(digits.inputs, digits.labels).score(points, labels)
    print(f"pixels: {100 * pixels:.2f}; {SEEDS} seeds, 10,000 points, theta of oja 0.005")
    print(f"{'units':>5} {'activation':10} {'oja':24} {'random':24} {'PCA':>6}  oja less random")
    for units in (5, 10, 20):
        pca = make_pipeline(PCA(units), ridge()).fit(digits.inputs, digits.labels)
        components = pca.score(points, labels)
        for activation in ("linear", "tanh", "softplus"):
            oja, drawn = (per_seed(r, units, activation) for r in ("0.005*oja", "0*oja"))
            print(
                f"{units:5} {activation:10} {shown(oja):24} {shown(drawn):24} "
                f"{100 * components:6.2f}  {shown(oja - drawn)}",
                flush=True,
            )


def costs(task):
    seconds = {"none": [], "linear": [], "knn": []}
    for _ in range(ROUNDS):
        for kind, taken in seconds.items():
            begun = time.perf_counter()
            run(RunSpec(rule="0.001*oja", task=task, evaluations=5, readout=kind))
            taken.append(time.perf_counter() - begun)
    without = statistics.median(seconds["none"])
    for kind, taken in seconds.items():
        print(
            f"{task}, readout {kind}: {statistics.median(taken):.2f} s, "
            f"{statistics.median(taken) / without:.2f} of a run without"
        )


def main():
    accuracies()
    for task in ("mnist-mlp", "digits-mlp"):
        try:
            costs(task)
        except DataError as error:
            print(f"{task}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
