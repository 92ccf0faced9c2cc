"""Rules that are written out, and rules that must be called at every step."""

import pytest
import torch

from plastic_core import resolve_hooks
from plastic_core.api import Rule, decay, hookimpl, outer
from plastic_core.backends.eager.traced_factors import trace_factors
from tests.building import build_engine, random_points
from tests.engine.test_step import SIZES, spec_of

READS = {"post", "source", "recon", "pre"}


class BranchingOja(Rule):
    """Oja's rule, with a branch on the data that cannot be followed."""

    spec = spec_of("branching", reads=READS)

    @hookimpl
    def plastic_local_update(self, s):
        if s.post.sum() > -1:  # always
            return outer(s.post, s.source - s.recon)
        return 0 * outer(s.post, s.pre)


class SumOfOuters(Rule):
    spec = spec_of("sum-of-outers", reads=READS)

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.source) - outer(s.post, s.recon)


class Centred(Rule):
    """A left factor that is computed."""

    spec = spec_of("centred", reads=READS)

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post - s.post.mean(-1, keepdim=True), s.pre)


class Decaying(Rule):
    spec = spec_of("decaying", reads=READS)

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre) + decay()


def traced(*rules):
    return trace_factors(resolve_hooks([(rule(), frozenset({0})) for rule in rules]).local)


def test_what_is_written_out():
    factors = traced(SumOfOuters)
    assert factors.lefts == ["post", "post"]
    assert factors.scales == [("sum-of-outers", 1.0), ("sum-of-outers", -1.0)]


@pytest.mark.parametrize("rule", [BranchingOja, Centred, Decaying])
def test_what_is_called_at_every_step(rule):
    assert traced(rule) is None
    assert traced(SumOfOuters, rule) is None


@pytest.mark.parametrize("batch", [1, 3])
def test_both_ways_give_the_same_numbers(batch):
    x, target = random_points(2, 30, batch, SIZES, torch.float32)
    results = {}
    for name in ("oja", "branching", "sum-of-outers"):
        engine, _, _ = build_engine(
            f"0.01*{name} + 0.05*bp",
            SIZES,
            seeds=2,
            dtype="float32",
            rules=[BranchingOja, SumOfOuters],
        )
        for step in range(30):
            engine.step(x[step], target[step])
        results[name] = engine.parameters.weights
    for one, other, third in zip(*results.values(), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, third, rtol=1e-5, atol=1e-6)


def test_a_last_smaller_batch_and_a_first_layer_alone():
    x, target = random_points(1, 1, 3, SIZES)
    results = []
    for rule in ("oja", "branching"):
        engine, _, _ = build_engine(
            f"0.01*{rule}", SIZES, rules=[BranchingOja], settings={rule: {"layers": 1}}
        )
        for events in (3, 2, 3):
            engine.step(x[0, :, :events], target[0, :, :events])
        results.append(engine.parameters.weights[0])
    assert torch.equal(*results)
