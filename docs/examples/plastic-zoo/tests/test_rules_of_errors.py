"""Rules that errors, targets or losses teach equal their equations written out."""

import numpy as np
from loops import loops
from plastic_zoo.burst import Burst
from plastic_zoo.difference_target import DifferenceTarget
from plastic_zoo.forward_forward import ForwardForward
from plastic_zoo.local_loss import LocalLoss
from plastic_zoo.node_perturbation import NodePerturbation
from plastic_zoo.pepita import Pepita
from plastic_zoo.pes import Pes
from plastic_zoo.target_projection import TargetProjection
from plastic_zoo.weight_mirror import WeightMirror
from plastic_zoo.weight_perturbation import WeightPerturbation

from plastic_core.testing import RuleConformance


def logistic(x):
    return 1 / (1 + np.exp(-x))


def times(matrix, vector):
    """Return a product, number by number."""
    return np.array([sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix])


class TestBurst(RuleConformance):
    rule = Burst

    def bursts(self, s):
        if s.is_output:
            return -s.error
        slope = s.slope(s.z)
        return [
            y * (logistic(4 * slope[i] / max(y, 0.01) * s.error[i]) - 0.5)
            for i, y in enumerate(s.post)
        ]

    def reference(self, s):
        bursts = self.bursts(s)
        return loops(len(s.post), len(s.pre), lambda i, j: bursts[i] * s.pre[j])

    def error_reference(self, s):
        return times(s.feedback, self.bursts(s))


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


class TestForwardForward(RuleConformance):
    rule = ForwardForward

    def seen(self, s, pre):
        size = np.sqrt(sum(x**2 for x in pre) / len(pre) + 1e-6)
        return pre if s.layer == 1 else pre / size

    def reference(self, s):
        neutral, wrong, right = s.passes
        x = [self.seen(s, one.pre) for one in s.passes]
        if s.is_output:
            return loops(len(s.z), len(s.pre), lambda i, j: -neutral.output_error[i] * x[0][j])
        goods = [sum(y**2 - 0.1 for y in one.post) for one in (wrong, right)]
        more = 2 * logistic(-goods[1]) * right.post * s.slope(right.z)
        less = 2 * logistic(goods[0]) * wrong.post * s.slope(wrong.z)
        return loops(len(s.z), len(s.pre), lambda i, j: more[i] * x[2][j] - less[i] * x[1][j])

    def forward_reference(self, s):
        return times(s.weight, self.seen(s, s.pre))

    def input_reference(self, s):
        """Of the second pass: with what was answered, which is the target and its error."""
        return s.input + times(s.feedback, s.target) + times(s.feedback, s.output_error)


class TestLocalLoss(RuleConformance):
    rule = LocalLoss

    def reference(self, s):
        readout, y, x = s.state.readout, s.post, s.pre
        if s.is_output:
            return loops(len(y), len(x), lambda i, j: -s.output_error[i] * x[j]), {
                "readout": readout
            }
        answer = np.exp(times(readout.T, y))
        wrong = answer / sum(answer) - s.target
        error = s.slope(s.z) * times(readout, wrong)
        new = loops(len(y), len(wrong), lambda i, k: readout[i, k] - 0.05 * y[i] * wrong[k])
        return loops(len(y), len(x), lambda i, j: -error[i] * x[j]), {"readout": new}


class TestPes(RuleConformance):
    rule = Pes

    def reference(self, s):
        error = s.output - s.target
        seen = times(s.state.encoders, error) / np.sqrt(len(error))
        learned = error if s.is_output else seen
        return loops(len(s.post), len(s.pre), lambda i, j: -learned[i] * s.pre[j]), {
            "encoders": s.state.encoders
        }


class TestWeightPerturbation(RuleConformance):
    rule = WeightPerturbation

    def reference(self, s):
        clean, noisy = s.passes
        gain = (noisy.loss - clean.loss).item() / 1e-3
        return loops(len(s.post), len(s.pre), lambda i, j: -gain * s.noise.weight[i, j])
