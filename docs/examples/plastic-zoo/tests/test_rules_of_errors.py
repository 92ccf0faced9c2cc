"""Rules that errors, targets or losses teach equal their equations written out."""

import numpy as np
from loops import loops
from plastic_zoo.difference_target import DifferenceTarget
from plastic_zoo.node_perturbation import NodePerturbation
from plastic_zoo.pepita import Pepita
from plastic_zoo.target_projection import TargetProjection
from plastic_zoo.weight_mirror import WeightMirror

from plastic_core.testing import RuleConformance


class TestDifferenceTarget(RuleConformance):
    rule = DifferenceTarget

    def reference(self, s):
        y, x = s.post, s.pre
        again = [
            np.tanh(sum(s.feedback[j, i] * y[i] for i in range(len(y)))) for j in range(len(x))
        ]
        slope = np.ones(len(y)) if s.is_output else s.slope(s.z)
        return {
            "forward": loops(len(y), len(x), lambda i, j: -slope[i] * s.error[i] * x[j]),
            "feedback": loops(
                len(x), len(y), lambda j, i: (x[j] - again[j]) * (1 - again[j] ** 2) * y[i]
            ),
        }

    def error_reference(self, s):
        back = s.feedback
        return np.tanh(back @ s.post) - np.tanh(back @ (s.post - s.error))


class TestNodePerturbation(RuleConformance):
    rule = NodePerturbation

    def reference(self, s):
        clean, noisy = s.passes
        gain = (noisy.loss - clean.loss) / 0.01
        return loops(len(s.post), len(s.pre), lambda i, j: -gain * s.noise.post[i] * s.pre[j])


class TestPepita(RuleConformance):
    rule = Pepita

    def reference(self, s):
        first, second = s.passes
        learned = first.output_error if s.is_output else first.post - second.post
        return loops(len(s.post), len(s.pre), lambda i, j: -learned[i] * second.pre[j])

    def input_reference(self, s):
        fed = [sum(b * e for b, e in zip(row, s.output_error, strict=True)) for row in s.feedback]
        return [x + more for x, more in zip(s.input, fed, strict=True)]


class TestTargetProjection(RuleConformance):
    rule = TargetProjection

    def reference(self, s):
        return loops(len(s.post), len(s.pre), lambda i, j: -s.error[i] * s.pre[j])

    def error_reference(self, s):
        return np.array(
            [-sum(b * t for b, t in zip(row, s.target, strict=True)) for row in s.feedback]
        )


class TestWeightMirror(RuleConformance):
    rule = WeightMirror

    def reference(self, s):
        noise, w = s.noise.pre, s.weight
        return loops(len(s.pre), len(s.post), lambda j, i: noise[j] * (w[i] @ noise))
