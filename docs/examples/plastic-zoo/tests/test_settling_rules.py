"""Rules in networks that settle equal their equations written out."""

import numpy as np
from loops import loops
from plastic_zoo.contrastive_hebbian import ContrastiveHebbian
from plastic_zoo.equilibrium import Equilibrium
from plastic_zoo.predictive_coding import PredictiveCoding

from plastic_core.testing import RuleConformance


class TestContrastiveHebbian(RuleConformance):
    rule = ContrastiveHebbian

    def reference(self, s):
        free, held = s.free, s.clamped
        return loops(
            len(s.post),
            len(s.pre),
            lambda i, j: held.post[i] * held.pre[j] - free.post[i] * free.pre[j],
        )

    def settle_reference(self, s):
        if s.is_output and s.phase == "clamped":
            return s.target
        return [z + 0.5 * (s.below[i] + 0.2 * s.above[i] - z) for i, z in enumerate(s.z)]


class TestEquilibrium(RuleConformance):
    rule = Equilibrium

    def reference(self, s):
        free, nudged = s.free, s.nudged
        return loops(
            len(s.post),
            len(s.pre),
            lambda i, j: (nudged.post[i] * nudged.pre[j] - free.post[i] * free.pre[j]) / 0.5,
        )

    def settle_reference(self, s):
        slope = np.ones(len(s.z)) if s.is_output else s.slope(s.z)
        pulled = 0.5 * (s.target - s.activation(s.z)) if s.is_output else 0 * s.z
        return [
            z + 0.5 * (slope[i] * (s.below[i] + s.above[i]) - z + pulled[i] * (s.phase == "nudged"))
            for i, z in enumerate(s.z)
        ]


class TestPredictiveCoding(RuleConformance):
    rule = PredictiveCoding

    def reference(self, s):
        z, pre = s.nudged.z, s.nudged.pre
        return loops(
            len(z),
            len(pre),
            lambda i, j: (
                (z[i] - sum(w * x for w, x in zip(s.weight[i], pre, strict=True))) * pre[j] / 0.5
            ),
        )

    def settle_reference(self, s):
        error = s.z - s.below
        if s.is_output:
            pulled = 0.5 * (s.target - s.z) * (s.phase == "nudged")
        else:
            pulled = s.slope(s.z) * s.above
        return s.z + 0.1 * (pulled - error), error
