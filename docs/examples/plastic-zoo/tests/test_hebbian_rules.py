"""Rules without errors equal their equations written out, and do what they are known for."""

import numpy as np
import pytest
from loops import loops
from plastic_zoo.abcd import Abcd
from plastic_zoo.bcm import Bcm
from plastic_zoo.covariance import Covariance
from plastic_zoo.foldiak import Foldiak
from plastic_zoo.krotov_hopfield import KrotovHopfield
from plastic_zoo.polynomial import TERMS, Polynomial
from plastic_zoo.reward_hebbian import RewardHebbian
from plastic_zoo.softhebb import SoftHebb
from plastic_zoo.synaptic_scaling import SynapticScaling
from plastic_zoo.voja import Voja

from plastic_core import MetaSpec, RunSpec, meta_learn, run
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


class TestBcm(RuleConformance):
    rule = Bcm

    def reference(self, s):
        y, x, h = s.post, s.pre, s.state.threshold
        new = {"threshold": [old + 0.01 * (y[i] ** 2 - old) for i, old in enumerate(h)]}
        return loops(len(y), len(x), lambda i, j: y[i] * (y[i] - h[i]) * x[j]), new


class TestCovariance(RuleConformance):
    rule = Covariance

    def reference(self, s):
        y, x, own = s.post, s.pre, s.state
        new = {
            "mean_post": [0.99 * m + 0.01 * y[i] for i, m in enumerate(own.mean_post)],
            "mean_pre": [0.99 * m + 0.01 * x[j] for j, m in enumerate(own.mean_pre)],
        }
        return loops(
            len(y), len(x), lambda i, j: (y[i] - own.mean_post[i]) * (x[j] - own.mean_pre[j])
        ), new


class TestKrotovHopfield(RuleConformance):
    rule = KrotovHopfield

    def reference(self, s):
        z, x, w = s.z, s.pre, s.weight
        first, second = sorted(z)[-1], sorted(z)[-2]
        learned = [1.0 if one == first else -0.4 if one == second else 0.0 for one in z]
        return loops(len(z), len(x), lambda i, j: learned[i] * (x[j] - z[i] * w[i, j]))


class TestPolynomial(RuleConformance):
    rule = Polynomial

    def reference(self, s):
        def value(i, j):
            return sum(
                getattr(s.theta, name) * s.pre[j] ** a * s.post[i] ** b * s.weight[i, j] ** c
                for (a, b, c), name in TERMS.items()
            )

        return loops(len(s.post), len(s.pre), value)


class TestSoftHebb(RuleConformance):
    rule = SoftHebb

    def reference(self, s):
        z, x, w = s.z, s.pre, s.weight
        total = sum(np.exp(one) for one in z)
        return loops(len(z), len(x), lambda i, j: np.exp(z[i]) / total * (x[j] - z[i] * w[i, j]))


class TestSynapticScaling(RuleConformance):
    rule = SynapticScaling

    def reference(self, s):
        mean, w = s.state.mean, s.weight
        new = {"mean": [0.99 * m + 0.01 * s.post[i] for i, m in enumerate(mean)]}
        return loops(len(s.post), len(s.pre), lambda i, j: (0.1 - mean[i]) * w[i, j]), new


class TestVoja(RuleConformance):
    rule = Voja

    def reference(self, s):
        y, x, w = s.post, s.pre, s.weight
        return loops(len(y), len(x), lambda i, j: y[i] * (x[j] - w[i, j]))


def trained(rule, expression, inputs, sizes, settings=None, **more):
    """Return the first weights of three networks that saw some inputs, again and again."""
    name = rule.spec.name
    spec = RunSpec(
        rule=expression,
        options={"sizes": sizes, **more},
        settings={name: {"layers": 1, **(settings or {})}},
        seeds=3,
        samples=10000,
        readout="none",
    )
    data = np.tile(inputs, (2000 // len(inputs), 1)), np.tile([0, 1], 1000)
    return run(spec, rules=[rule], data=data).parameters.weights[0].numpy()


PAIR = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def test_bcm_makes_units_selective():
    """Of two orthogonal inputs a unit keeps one and loses the other."""
    weights = trained(Bcm, "0.01*bcm", np.eye(2), [2, 6, 2], {"rate": 0.02}, activation="relu")
    responses = weights.clip(min=0)
    strong, weak = responses.max(-1), responses.min(-1)
    assert (strong > 0.1).any()
    assert (weak[strong > 0.1] < 0.05 * strong[strong > 0.1]).all()


def test_voja_units_take_the_input_that_drives_them():
    weights = trained(Voja, "0.01*voja", PAIR[:1], [3, 5, 2], {"scale": 2.0}, activation="sigmoid")
    assert abs(weights - 2 * PAIR[0]).max() < 1e-3


def test_covariance_learns_nothing_of_what_is_constant():
    """Once the means have come, weights stay; those of plain Hebb grow."""
    spec = {"inputs": PAIR[:1], "sizes": [3, 5, 2], "activation": "tanh"}
    early, late = (
        trained(Covariance, f"{theta}*covariance", **spec, settings={"rate": 0.5})
        for theta in (0, 0.01)
    )
    assert abs(late - early).max() < 0.05


@pytest.mark.parametrize(
    ("rule", "settings"), [(SoftHebb, {"temperature": 0.05}), (KrotovHopfield, {"delta": 0.0})]
)
def test_units_that_win_get_weights_of_length_1(rule, settings):
    """And each input has a unit for it."""
    expression = f"0.01*{rule.spec.name}"
    weights = trained(rule, expression, PAIR, [3, 6, 2], settings, activation="relu")
    alike = np.einsum("rij,kj->rik", weights, PAIR)
    assert abs(alike.max(1) - 1).max() < 0.05
    winners = np.take_along_axis(weights, alike.argmax(1)[..., None], 1)
    assert abs(np.linalg.norm(winners, axis=-1) - 1).max() < 0.05


def test_scaled_units_reach_the_mean_activity():
    """Where activity is positive, and its drive too."""
    settings = {"goal": 0.8, "rate": 0.1}
    given = {"activation": "softplus", "init": "identity"}
    weights = trained(
        SynapticScaling, "0.01*synaptic-scaling", PAIR[:1], [3, 3, 2], settings, **given
    )
    active = np.einsum("rij,j->ri", weights, PAIR[0])[:, :2]  # the third unit has no input
    assert abs(np.logaddexp(0, 10 * active) / 10 - 0.8).max() < 0.01


OJA = {"theta.xy": 0.02, "theta.yyw": -0.02}


def test_oja_is_a_point_of_the_polynomial():
    def weights(rule, **more):
        spec = RunSpec(
            rule=rule,
            task="digits-mlp",
            samples=50,
            options={"net": "dense 10"},
            dtype="float64",
            **more,
        )
        return run(spec, rules=[Polynomial]).parameters.weights

    ours = weights("polynomial", settings={"polynomial": OJA})
    for one, other in zip(ours, weights("0.02*oja-single"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_all_thetas_of_the_polynomial_are_learned():
    given = {"sizes": [64, 8, 10], "ways": 2, "shots": 3, "queries": 2}
    spec = MetaSpec(
        rule="0.01*bp + polynomial",
        task="digits-fewshot",
        options=given,
        episodes=2,
        learning_rate=1e-4,
    )
    thetas = meta_learn(spec, rules=[Polynomial]).history["theta"].isel(seed=0, step=-1)
    assert thetas.sizes["rule"] == 1 + len(TERMS)
    assert (thetas != 0).all()


def test_all_thetas_of_the_polynomial_are_recovered_from_oja_s_rule():
    options = {"sizes": [64, 20, 10], "activation": "tanh", "ways": 3, "shots": 1, "queries": 8}
    spec = MetaSpec(
        rule="polynomial",
        teacher="0.01*oja-single",
        task="digits-fewshot",
        options=options,
        episodes=6,
    )
    (thetas,) = meta_learn(spec, rules=[Polynomial]).record["result"]["thetas"]
    for term in TERMS.values():
        expected = {"xy": 0.01, "yyw": -0.01}.get(term, 0.0)
        assert thetas[f"polynomial.{term}"] == pytest.approx(expected, abs=2e-5), term
