"""What is learned from networks of a known rule, for the tests of it."""

from pathlib import Path

import numpy as np

from plastic_core import MetaSpec

PLUGIN = str(Path(__file__).with_name("monomials.py"))

OPTIONS = {"ways": 3, "shots": 1, "queries": 8, "sizes": "64,12,10", "activation": "tanh"}


def spec_of(**fields):
    fields = {
        "rule": "monomials",
        "teacher": "0.01*oja-single",
        "task": "digits-fewshot",
        "options": OPTIONS,
        "plugins": (PLUGIN,),
        **fields,
    }
    return MetaSpec(**fields)


def learning(w, points, increment):
    """Return weights of a dense network of tanh and softmax that learned points by a slow loop."""
    w = [one.copy() for one in w]
    for x in points:
        ys = activities(w, x)
        w = [one + increment(y, pre, one) for one, pre, y in zip(w, [x, *ys[:-1]], ys, strict=True)]
    return w


def activities(w, x):
    hidden = np.tanh(w[0] @ x)
    z = w[1] @ hidden
    return [hidden, np.exp(z - z.max()) / np.exp(z - z.max()).sum()]
