"""Rules that follow activity through time equal their equations written out."""

import numpy as np
import pytest
from loops import loops
from plastic_zoo.e_prop import EProp
from plastic_zoo.rflo import Rflo

from plastic_core import RunSpec, run
from plastic_core.testing import RuleConformance


class TestEProp(RuleConformance):
    rule = EProp

    def reference(self, s):
        rate, x, y, fed = s.theta.rate.item(), s.pre, s.post, s.state.B
        if s.is_output:
            e, w = s.output_error, s.weight
            learned = loops(len(y), len(x), lambda i, j: -rate * (e[i] * x[j] + 0.1 * w[i, j]))
            return learned, {"B": fed}
        e = s.output_error
        worth = [sum(b * one for b, one in zip(row, e, strict=True)) for row in fed]
        did = s.slope(s.z)
        new = loops(len(y), len(e), lambda i, k: fed[i, k] - rate * (y[i] * e[k] + 0.1 * fed[i, k]))
        return loops(len(y), len(x), lambda i, j: -rate * worth[i] * did[i] * x[j]), {"B": new}


class TestRflo(RuleConformance):
    rule = Rflo

    def reference(self, s):
        if s.is_output:
            worth = s.output_error
        else:
            fed = [
                sum(b * e for b, e in zip(row, s.output_error, strict=True)) for row in s.state.B
            ]
            worth = np.array(fed) * s.slope(s.z)
        return loops(len(s.post), len(s.pre), lambda i, j: -worth[i] * s.pre[j]), {"B": s.state.B}


def traced(weights, fixed, x, target, leak):
    """Return the increments of one sequence: a trace of each synapse, step after step."""
    y, total = np.zeros(len(weights[1])), [0 * w for w in weights]
    traces = [np.zeros(w.shape) for w in weights[:2]]
    for shown, wanted in zip(x, target, strict=True):
        before, z = y, weights[0] @ shown + weights[1] @ y
        y = (1 - leak) * y + leak * np.tanh(z)
        answer = np.exp(weights[2] @ y)
        error = answer / answer.sum() - wanted
        for p, pre in enumerate((shown, before)):
            for i, j in np.ndindex(*traces[p].shape):
                did = leak * (1 - np.tanh(z[i]) ** 2) * pre[j]
                traces[p][i, j] = (1 - leak) * traces[p][i, j] + did
                total[p][i, j] -= (fixed[p][i] @ error) * traces[p][i, j]
        total[2] -= np.outer(error, y)
    return total


@pytest.mark.parametrize("rule", [Rflo, EProp])
def test_a_rule_keeps_traces(rule):
    source = np.random.default_rng(0)
    x, labels = source.normal(size=(12, 6, 3)), source.integers(0, 2, (12, 6))

    def trained(theta):
        """Return weights and states after one sequence, where neither decays."""
        given = {"theta.rate": theta, "forgetting": 0} if rule is EProp else {"theta": theta}
        spec = RunSpec(
            rule=rule.spec.name,
            task="delayed-xor",
            options={"hidden": 4, "steps": 6, "leak": 0.3},
            settings={rule.spec.name: given},
            seeds=1,
            samples=1,
            evaluations=1,
            dtype="float64",
        )
        result = run(spec, rules=[rule], data=(x, labels))
        return {name: value[0].numpy() for name, value in result.parameters.named().items()}

    begun, after = trained(0), trained(0.5)
    weights = [begun[f"weight.{p}"] for p in (1, 2, 3)]
    fixed = [begun[f"state.{rule.spec.name}.{p}.B"] for p in (1, 2)]
    assert (fixed[0] == fixed[1]).all()  # one for each unit
    shown = [
        traced(weights, fixed, np.float32(one), np.eye(2)[label], 0.3)
        for one, label in zip(x, labels, strict=True)
    ]
    changes = [after[f"weight.{p + 1}"] - weights[p] for p in range(3)]

    def off(total):
        return max(abs(c - 0.5 * t).max() for c, t in zip(changes, total, strict=True))

    assert min(map(off, shown)) < 1e-12  # of the one sequence that was shown
    assert abs(changes[0]).max() > 1e-2


@pytest.mark.parametrize(("rule", "expression"), [(Rflo, "0.01*rflo"), (EProp, "e-prop")])
def test_a_rule_learns_what_takes_memory(rule, expression):
    spec = RunSpec(
        rule=expression,
        task="delayed-xor",
        options={"delay": 1},
        seeds=2,
        samples=1500,
        evaluations=3,
    )
    result = run(spec, rules=[rule])
    assert result.curves["accuracy"].isel(step=-1).min() > 0.9
