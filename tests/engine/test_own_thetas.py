"""Rules with several thetas, by which they multiply themselves."""

import json

import numpy as np
import pytest
import torch

from plastic_core import PlasticError, RunSpec, SweepSpec, run, sweep
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.eager.engine import Engine
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.experiments.meta.meta_learning import meta_learn
from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.results.store import Store
from tests.building import resolve

FREE = Theta(default=0.01, min=None)


class Abcd(Rule):
    """Soltoggio 2008: a sum of Hebbian terms, one theta each."""

    spec = RuleSpec(
        name="abcd",
        summary="of a test",
        equation=r"A y x^\top + B y + C x^\top + D",
        reference="none",
        modifies="forward",
        reads={"pre", "post"},
        theta={"a": FREE, "b": FREE, "c": FREE, "d": Theta(default=0.001, min=0, max=1)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        one, t = torch.ones_like, s.theta
        post = outer(t.a * s.post + t.c, s.pre)
        return post + outer(t.b * s.post + t.d * one(s.post), one(s.pre))


THETAS = {"a": 0.02, "b": -0.003, "c": 0.004, "d": 0.0005}
SETTINGS = {"abcd": {f"theta.{name}": theta for name, theta in THETAS.items()}}


def test_an_update_is_that_of_a_slow_loop():
    plan, hooks, parameters = resolve(
        "abcd", (6, 5, 3), seeds=2, rules=[Abcd], settings=SETTINGS, activation="tanh"
    )
    before = [w.clone().numpy() for w in parameters.weights]
    x = np.random.default_rng(0).normal(size=(2, 3, 6))
    engine = Engine(plan.circuit, hooks, plan.thetas, parameters)
    engine.step(torch.from_numpy(x), torch.eye(3).double().expand(2, -1, -1))
    for r in (0, 1):
        hidden = np.tanh(x[r] @ before[0][r].T)
        z = hidden @ before[1][r].T
        output = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        for p, (pre, post) in enumerate([(x[r], hidden), (hidden, output)]):
            total = np.zeros_like(before[p][r])
            for i in range(3):
                for j in range(len(total)):
                    for k in range(total.shape[1]):
                        y, u = post[i, j], pre[i, k]
                        total[j, k] += (
                            THETAS["a"] * y * u + THETAS["b"] * y + THETAS["c"] * u + THETAS["d"]
                        )
            after = parameters.weights[p][r].numpy()
            np.testing.assert_allclose(after - before[p][r], total / 3, rtol=1e-9)


def trained(backend, rule="abcd", **more):
    spec = RunSpec(
        task="digits-mlp",
        rule=rule,
        options={"net": "dense 9 / dense 8"},
        seeds=2,
        samples=60,
        evaluations=2,
        dtype="float64",
        backend=backend,
        **{"settings": SETTINGS, **more},
    )
    return run(spec, rules=[Abcd])


@pytest.mark.parametrize("rule", ["abcd", "0.02*bp + abcd"])
@pytest.mark.parametrize("backend", ["native", pytest.param("compiled", marks=pytest.mark.slow)])
def test_backends_agree(backend, rule):
    eager = trained("eager", rule).parameters.named()
    other = trained(backend, rule)
    assert other.record["backend"] == backend
    for name, value in eager.items():
        torch.testing.assert_close(other.parameters.named()[name], value, rtol=1e-9, atol=1e-12)


def test_the_record_names_them_and_curves_do(capsys):
    result = trained("native")
    (rule,) = result.record["rules"]
    assert (rule["thetas"], rule["theta_from"]) == (THETAS, "setting")
    assert result.curves.attrs["rule"] == "abcd (a 0.02, b -0.003, c 0.004, d 0.0005)"
    assert result.record["spec"]["settings"] == SETTINGS
    (rule,) = trained("native", settings={}).record["rules"]
    assert rule["thetas"] == {"a": 0.01, "b": 0.01, "c": 0.01, "d": 0.001}
    assert rule["theta_from"] == "default of the rule"


def test_they_are_axes_of_sweeps_and_part_of_the_key_of_the_store(tmp_path):
    base = RunSpec(
        task="digits-mlp",
        options={"net": "dense 9"},
        seeds=2,
        samples=20,
        evaluations=2,
        settings={"abcd": {"theta.b": 0.0, "theta.c": 0.0}},
    )
    grid = {"abcd.theta.a": (-1e-4, 1e-4), "abcd.theta.d": (0.0, 1e-4)}
    spec = SweepSpec(rules=("abcd",), grid=grid, base=base)
    found = sweep(spec, Store(tmp_path), workers=0, rules=[Abcd])
    assert len(found.arms) == 4
    last = {round(float(np.mean([r.loss[-1] for r in a.results.values()])), 6) for a in found.arms}
    assert len(last) == 4


def test_tangents_are_those_of_finite_differences():
    x = torch.rand(4, 1, 2, 6, dtype=torch.float64)
    target = torch.eye(3, dtype=torch.float64)[torch.tensor([[[0, 2]]] * 4)]
    names = [f"abcd.{name}" for name in THETAS]

    def learned(changed=None, h=0.0, tangents=False):
        plan, hooks, parameters = resolve("abcd", (6, 5, 3), rules=[Abcd], settings=SETTINGS)
        thetas = {
            name: torch.tensor([theta + (h if name == changed else 0.0)], dtype=torch.float64)
            for name, theta in plan.thetas.items()
        }
        step = (TangentStep if tangents else Engine)(plan.circuit, hooks, thetas, parameters)
        for one, wanted in zip(x, target, strict=True):
            step.step(one, wanted)
        weights = [w.clone() for w in parameters.weights]
        order = [*plan.thetas]
        return (step.tangents, order) if tangents else weights

    tangents, order = learned(tangents=True)
    for name in names:
        above, below = learned(name, 1e-6), learned(name, -1e-6)
        for p in (0, 1):
            finite = (above[p] - below[p]) / 2e-6
            exact = tangents[f"weight.{p + 1}"][:, order.index(name)]
            torch.testing.assert_close(exact, finite, rtol=1e-6, atol=1e-8)


def test_native_tangents_are_those_of_eager():
    source = torch.Generator().manual_seed(2)
    x = torch.rand(12, 6, generator=source, dtype=torch.float64)
    target = torch.eye(3, dtype=torch.float64)[torch.arange(12) % 3]
    order = torch.arange(12).expand(2, -1)
    found = []
    for native in (False, True):
        plan, hooks, parameters = resolve(
            "abcd + 0.02*bp", (6, 5, 3), seeds=2, rules=[Abcd], settings=SETTINGS
        )
        thetas = {
            name: torch.full((2,), theta, dtype=torch.float64)
            for name, theta in plan.thetas.items()
        }
        step = TangentStep(plan.circuit, hooks, thetas, parameters)
        if native:
            backend = NativeTangents(plan.circuit, hooks, thetas, parameters, x, target, 3)
            backend.carry(step.tangents)
            backend.advance(order)
        else:
            for picks in order.split(3, 1):
                step.step(x[picks], target[picks])
        found.append({n: t for n, t in step.tangents.items() if n.startswith("weight")})
    for name, tangent in found[0].items():
        assert tangent.any(), name
        torch.testing.assert_close(found[1][name], tangent, rtol=1e-9, atol=1e-12)


def test_they_are_learned(tmp_path):
    spec = MetaSpec(
        rule="0.001*bp + abcd",
        task="digits-fewshot",
        episodes=3,
        seeds=2,
        settings={"abcd": {"theta.a": 0.001, "theta.b": 0.0, "theta.c": 0.0, "theta.d": 0.0}},
    )
    result = meta_learn(spec, rules=[Abcd])
    names = ["bp", "abcd.a", "abcd.b", "abcd.c", "abcd.d"]
    assert result.history["rule"].values.tolist() == names
    theta = result.history["theta"].values
    assert (np.abs(theta[:, -1] - theta[:, 0])[:, :4] > 0).all()
    assert "abcd (a " in result.record["result"]["learned"][0]
    assert result.record["backend"] == "native"


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        (
            "0.1*abcd",
            {},
            "'abcd' has several thetas, a, b, c, d, by which it multiplies itself; write it "
            "without a coefficient, and --set abcd.theta.a=0.01",
        ),
        (
            "abcd",
            {"abcd": {"theta": 0.1}},
            "'abcd' has several thetas, a, b, c, d, by which it multiplies itself; write it "
            "without a coefficient, and --set abcd.theta.a=0.01",
        ),
        (
            "abcd",
            {"abcd": {"theta.d": 2.0}},
            "theta of 'abcd.theta.d' = 2.0: expected a number from 0 to 1",
        ),
        (
            "abcd",
            {"abcd": {"theta.e": 2.0}},
            "setting of 'abcd': there is no 'theta.e' (value 2.0); did you mean 'theta.d'?\n"
            "  accepted are layers, theta.a, theta.b, theta.c, theta.d",
        ),
    ],
)
def test_what_is_wrong_is_said(rule, settings, message):
    with pytest.raises(PlasticError) as caught:
        trained("eager", rule, settings=settings)
    assert str(caught.value) == message


def test_a_rule_with_one_theta_never_sees_it():
    class Curious(Abcd):
        spec = Abcd.spec.model_copy(update={"name": "curious", "theta": FREE})

    with pytest.raises(PlasticError) as caught:
        resolve("1*curious", (6, 5, 3), rules=[Curious])
    assert (
        "the rule 'curious': plastic_local_update raised AttributeError: the spec declares no theta "
        "'a', it declares none; write theta={\"a\": Theta(...)}"
    ) in str(caught.value)
    assert json.dumps(Abcd.spec.default_thetas) == '"a 0.01, b 0.01, c 0.01, d 0.001"'
