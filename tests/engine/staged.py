"""Small runs in stages, and what is compared of them."""

import numpy as np

from plastic_core import RunSpec
from plastic_tasks.datasets import load_digits

DIGITS = load_digits()
SMALL = {"seeds": 2, "evaluations": 3, "options": {"sizes": [64, 20, 15, 10]}}


def spec_of(*stages, **fields):
    return RunSpec(stages=stages, **{**SMALL, **fields})


def weights_of(result):
    return {name: value.clone().numpy() for name, value in result.parameters.named().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], name)
