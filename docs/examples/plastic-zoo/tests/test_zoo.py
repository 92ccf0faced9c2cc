"""Each rule passes the tests that every rule passes, and equals its equation written out."""

import numpy as np
import pytest
import torch
from plastic_zoo.abcd import Abcd
from plastic_zoo.difference_target import DifferenceTarget
from plastic_zoo.equilibrium import Equilibrium
from plastic_zoo.foldiak import Foldiak
from plastic_zoo.node_perturbation import NodePerturbation
from plastic_zoo.pepita import Pepita
from plastic_zoo.predictive_coding import PredictiveCoding
from plastic_zoo.reward_hebbian import RewardHebbian
from plastic_zoo.rflo import Rflo
from plastic_zoo.synaptic_intelligence import SynapticIntelligence
from plastic_zoo.target_projection import TargetProjection
from plastic_zoo.weight_mirror import WeightMirror

from plastic_core import (
    Engine,
    NetworkSpec,
    RunSpec,
    initial_parameters,
    resolve_hooks,
    run,
)
from plastic_core.testing import RuleConformance, TransformConformance
from plastic_rules.bp import Backprop
from plastic_tasks.datasets import load_digits


def loops(rows, columns, value):
    """Return a matrix, element by element."""
    return np.array([[value(i, j) for j in range(columns)] for i in range(rows)])


class TestAbcd(RuleConformance):
    rule = Abcd

    def reference(self, s):
        t, y, x = s.theta, s.post, s.pre
        return loops(len(y), len(x), lambda i, j: t.a * y[i] * x[j] + t.b * y[i] + t.c * x[j] + t.d)


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


class TestRewardHebbian(RuleConformance):
    rule = RewardHebbian

    def reference(self, s):
        reward = sum(y * t for y, t in zip(s.output, s.target, strict=True))
        mean = s.state.mean.item()
        new = {"mean": np.array(0.99 * mean + 0.01 * reward)}
        return loops(
            len(s.post), len(s.pre), lambda i, j: (reward - mean) * s.post[i] * s.pre[j]
        ), new


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


class TestSynapticIntelligence(TransformConformance):
    transform = SynapticIntelligence

    def reference(self, weight, rule, updates, strength, damping, every):
        """Return a weight after some updates of a rule, a function of the weight."""
        path = importance = 0.0
        held = weight
        for update in range(1, updates + 1):
            increment = rule(weight)
            change = increment + 2 * strength * importance * (held - weight)
            path += increment * change
            weight += change
            if update % every == 0:
                importance += path / ((weight - held) ** 2 + damping)
                held, path = weight, 0.0
        return weight

    def trained(self, backend="native"):
        """Return weights before and after training, and as the loop has them, in float64.

        What learns is weight decay, which no data decide, for several tasks and a part of one.
        """
        settings, ends = {"strength": 0.4, "damping": 0.01, "every": 7}, []
        for theta in (0, 0.03):
            spec = RunSpec(
                rule=f"{theta}*weight-decay",
                task="digits-mlp",
                options={"sizes": [64, 5, 10]},
                transforms=("synaptic-intelligence",),
                settings={"synaptic-intelligence": settings},
                samples=40,
                dtype="float64",
                backend=backend,
            )
            weights = run(spec, transforms=[SynapticIntelligence]).parameters.weights
            ends.append(np.concatenate([w.flatten() for w in weights]))
        slow = [self.reference(w, lambda w: -0.03 * w, 40, **settings) for w in ends[0]]
        return *ends, np.array(slow)

    def largest_difference(self):
        _, after, slow = self.trained()
        return np.abs(after - slow).max()

    @pytest.mark.parametrize("backend", ["eager", "native"])
    def test_equals_its_slow_reference(self, backend):
        before, after, slow = self.trained(backend)
        np.testing.assert_allclose(after, slow, rtol=1e-12, atol=1e-14)
        # without it
        assert not np.allclose(after, 0.97**40 * before, rtol=0.01)


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


SETTLING = {"activation": "tanh", "loss": "squared-error"}

LEARN = [
    (Abcd, "abcd + 0.02*bp", {}),
    (DifferenceTarget, "0.02*difference-target", {"activation": "tanh"}),
    (Equilibrium, "0.01*equilibrium", SETTLING | {"init": "naive", "init_std": 0.08}),
    (Foldiak, "foldiak + 0.02*bp", {}),
    (NodePerturbation, "0.001*node-perturbation", {"activation": "tanh"}),
    (Pepita, "0.002*pepita", {"activation": "tanh"}),
    (PredictiveCoding, "0.05*predictive-coding", SETTLING),
    (RewardHebbian, "reward-hebbian + 0.02*bp", {}),
    (Rflo, "0.05*rflo", {"activation": "tanh"}),
    (TargetProjection, "0.005*target-projection", {"activation": "tanh"}),
    (
        WeightMirror,
        "0.05*fa + 0.001*weight-mirror + 0.001*b-decay",
        {"activation": "tanh"},
    ),
]


# Of single layers, of rules that learn in deep networks by them alone.
THETAS = {"equilibrium": {"theta.dense1": 0.1, "theta.readout": 0.002}}


def learning(expression, options, depth, **more):
    """Return the run of a network with some hidden layers on the digits."""
    options = {"net": " / ".join(["dense 40"] * depth), **options}
    more["settings"] = {name: thetas for name, thetas in THETAS.items() if name in expression}
    return RunSpec(rule=expression, task="digits-mlp", options=options, seeds=2, **more)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("rule", "expression", "options"), LEARN, ids=[one[0].spec.name for one in LEARN]
)
def test_a_network_learns(rule, expression, options, depth):
    samples = 3000 if rule is NodePerturbation else 300  # it is the slowest to learn
    spec = learning(expression, options, depth, samples=samples, evaluations=5)
    loss = run(spec, rules=[rule]).curves["loss"].mean("seed").to_numpy()
    assert loss[-1] < loss[0]


def test_what_was_learned_first_is_kept():
    """Digits, then the same with their pixels in another order."""
    data, count = load_digits(), 600
    inputs = torch.from_numpy(data.inputs[:count]).reshape(count, 1, 1, 64)
    target = torch.eye(10)[torch.from_numpy(data.labels[:count])].reshape(count, 1, 1, 10)
    held_out, labels = torch.from_numpy(data.held_out_inputs)[None], data.held_out_labels
    orders = torch.arange(64), torch.randperm(64, generator=torch.Generator().manual_seed(0))
    network = NetworkSpec(sizes=(64, 40, 10))

    def accuracies(strength):
        """Return those of both tasks after the second."""
        transform = SynapticIntelligence()
        transform.params = transform.spec.params(strength=strength, damping=0.1, every=count)
        hooks = resolve_hooks([(Backprop(), frozenset({0, 1}))], [transform])
        engine = Engine(network, hooks, {"bp": 0.05}, initial_parameters(network, [0], None))
        for order in orders:
            for x, wanted in zip(inputs, target, strict=True):
                engine.step(x[..., order], wanted)
        outputs = [engine.activities(held_out[..., order], 0)[-1][0] for order in orders]
        return [(output.argmax(1).numpy() == labels).mean() for output in outputs]

    (forgotten, _), (kept, second) = accuracies(0.0), accuracies(0.1)
    assert kept > forgotten + 0.15
    assert second > 0.7
