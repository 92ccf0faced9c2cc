"""Rules that follow activity through time equal their equations written out."""

import numpy as np
from loops import loops
from plastic_zoo.rflo import Rflo

from plastic_core import RunSpec, run
from plastic_core.testing import RuleConformance


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


def test_rflo_keeps_traces():
    given = {"hidden": 4, "steps": 6, "leak": 0.3}
    source = np.random.default_rng(0)
    x, labels = source.normal(size=(12, 6, 3)), source.integers(0, 2, (12, 6))
    spec = RunSpec(
        rule="0.5*rflo",
        task="delayed-xor",
        options=given,
        seeds=1,
        samples=1,
        evaluations=1,
        dtype="float64",
    )

    def trained(**changes):
        result = run(spec.model_copy(update=changes), rules=[Rflo], data=(x, labels))
        return {name: value[0].numpy() for name, value in result.parameters.named().items()}

    begun = trained(rule="0*rflo")
    weights = [begun[f"weight.{p}"] for p in (1, 2, 3)]
    fixed = [begun[f"state.rflo.{p}.B"] for p in (1, 2)]
    assert (fixed[0] == fixed[1]).all()  # one for each unit
    after = trained()
    shown = [
        traced(weights, fixed, np.float32(one), np.eye(2)[label], 0.3)
        for one, label in zip(x, labels, strict=True)
    ]
    changes = [after[f"weight.{p + 1}"] - weights[p] for p in range(3)]

    def off(total):
        return max(abs(c - 0.5 * t).max() for c, t in zip(changes, total, strict=True))

    assert min(map(off, shown)) < 1e-12  # of the one sequence that was shown
    assert abs(changes[0]).max() > 1e-2


def test_rflo_learns_what_takes_memory():
    spec = RunSpec(
        rule="0.01*rflo",
        task="delayed-xor",
        options={"delay": 1},
        seeds=2,
        samples=1500,
        evaluations=3,
    )
    result = run(spec, rules=[Rflo])
    assert result.curves["accuracy"].isel(step=-1).min() > 0.9
