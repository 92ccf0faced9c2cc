"""Rules without errors equal their equations written out."""

import numpy as np
from loops import loops
from plastic_zoo.abcd import Abcd
from plastic_zoo.foldiak import Foldiak
from plastic_zoo.reward_hebbian import RewardHebbian

from plastic_core.testing import RuleConformance


class TestAbcd(RuleConformance):
    rule = Abcd

    def reference(self, s):
        t, y, x = s.theta, s.post, s.pre
        return loops(len(y), len(x), lambda i, j: t.a * y[i] * x[j] + t.b * y[i] + t.c * x[j] + t.d)


class TestFoldiak(RuleConformance):
    rule = Foldiak

    def reference(self, s):
        y, x, w = s.post, s.pre, s.weight
        u = s.state.lateral

        def lateral(i, j):
            return 0.0 if i == j else max(0.0, u[i, j] + 0.01 * (y[i] * y[j] - 0.01))

        new = {"lateral": loops(len(y), len(y), lateral)}
        new["threshold"] = s.state.threshold + 0.01 * (y - 0.1)
        return loops(len(y), len(x), lambda i, j: y[i] * (x[j] - w[i, j])), new

    def forward_reference(self, s):
        z = s.weight @ s.pre
        return z - s.state.lateral @ s.activation(z) - s.state.threshold


class TestRewardHebbian(RuleConformance):
    rule = RewardHebbian

    def reference(self, s):
        reward = sum(y * t for y, t in zip(s.output, s.target, strict=True))
        mean = s.state.mean.item()
        new = {"mean": np.array(0.99 * mean + 0.01 * reward)}
        return loops(
            len(s.post), len(s.pre), lambda i, j: (reward - mean) * s.post[i] * s.pre[j]
        ), new
