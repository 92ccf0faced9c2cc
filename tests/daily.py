"""Which of many cases are tried daily, and which among the slow tests alone."""

import itertools

import pytest


def slow(*values):
    """Return a case that is tried among the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


def some(cases, every):
    """Return cases of one value each, of which every so many is tried daily."""
    return [case if i % every == 0 else slow(case) for i, case in enumerate(cases)]


def combined(*axes):
    """Return all combinations of values; those that are tried daily hold each value once or more."""
    axes = [[*axis] for axis in axes]
    chosen = [[axis[i % len(axis)] for axis in axes] for i in range(max(map(len, axes)))]
    return [
        pytest.param(*values) if [*values] in chosen else slow(*values)
        for values in itertools.product(*axes)
    ]
