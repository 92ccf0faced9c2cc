"""Noise of rules: what it is, and that it is the same wherever it is read."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from plastic_core import PlasticError, run
from plastic_core.api import Rule, hookimpl, outer
from plastic_core.backends.eager.engine import Engine
from tests.building import resolve
from tests.engine.trained_rules import (
    RUNS,
    assert_agree,
    assert_tangents,
    killed_and_resumed,
    small,
    spec_of,
    trained,
)


class Jittered(Rule):
    """Noise on post and pre, in the update alone."""

    spec = spec_of("jittered", {"pre", "post"}, noise={"post", "pre"})

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post + 0.1 * s.noise.post, s.pre - 0.1 * s.noise.pre)


class Perturbed(Rule):
    """Noise in the forward pass, in the error, and in the update, the same in all of them."""

    spec = spec_of("perturbed", {"pre", "error", "weight_error"}, noise={"post"}, propagates=True)

    @hookimpl
    def plastic_forward(self, s):
        return s.forward(s.pre) + 0.1 * s.noise.post

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.weight_error + 0.1 * s.back(s.noise.post)

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error * (1 + s.noise.post), s.pre)


class Shaken(Rule):
    """Noise on the weights."""

    spec = spec_of("shaken", {"pre", "post"}, noise={"weight"})

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre) + 0.1 * s.noise.weight


class Seen(Rule):
    """Keeps what it sees."""

    spec = spec_of("seen", {"pre", "post"}, noise={"post", "pre", "weight"})
    found: ClassVar[list] = []

    @hookimpl
    def plastic_forward(self, s):
        self.found.append(("forward", s.layer, s.learning, vars(s.noise).copy()))

    @hookimpl
    def plastic_local_update(self, s):
        self.found.append(("update", s.layer, s.learning, vars(s.noise).copy()))
        return outer(s.post, s.pre)


def watched(sizes, seeds, batch, steps=1):
    """Return what a rule sees in some steps, by hook and layer."""
    plan, hooks, parameters = resolve("0*seen", sizes, seeds=seeds, rules=[Seen])
    engine = Engine(plan.circuit, hooks, {"seen": 0.0}, parameters)
    Seen.found.clear()
    x = torch.rand(seeds, batch, sizes[0], dtype=torch.float64)
    target = torch.eye(sizes[-1], dtype=torch.float64)[:1].expand(seeds, batch, -1)
    for _ in range(steps):
        engine.step(x, target)
    found = [*Seen.found]
    Seen.found.clear()
    engine.activities(x[:1], 0)
    return found, [*Seen.found]


def test_it_is_standard_normal_and_independent():
    found, _ = watched((200, 150, 150, 5), seeds=2, batch=40, steps=2)
    updates = [noise for hook, layer, _, noise in found if (hook, layer) == ("update", 2)]
    first, second = updates
    (other,) = [n for h, layer, _, n in found[: len(found) // 2] if (h, layer) == ("update", 1)]
    for name in ("post", "pre", "weight"):
        x = first[name]
        assert x.shape[0] == 2
        count = x.numel()
        moments = [x.mean(), x.var() - 1, (x**3).mean(), (x**4).mean() - 3]
        spread = [1, 2, 15, 96]  # of one number's contribution
        for moment, variance in zip(moments, spread, strict=True):
            assert abs(moment) < 5 * np.sqrt(variance / count), name
        tails = (x.abs() > 3).double().mean()
        assert abs(tails - 0.0027) < 5 * np.sqrt(0.0027 / count)
    # over units, events, networks, updates, names and layers
    post = first["post"][0]
    streams = [
        post[:, 1:],
        post[1:],
        first["post"][1],
        second["post"][0],
        first["pre"][0],
        other["post"][0],
    ]
    for stream in streams:
        rows, columns = min(40, len(stream)) - 1, min(150, stream.shape[1]) - 1
        a, b = post[:rows, :columns], stream[:rows, :columns]
        assert abs((a * b).mean()) < 5 / np.sqrt(rows * columns)


def test_all_hooks_of_an_update_see_the_same_and_evaluation_sees_none():
    found, evaluated = watched((6, 5, 4, 3), seeds=2, batch=3)
    by_hook = {(hook, layer): noise for hook, layer, _, noise in found}
    for layer in (1, 2, 3):
        for name, value in by_hook["update", layer].items():
            assert torch.equal(by_hook["forward", layer][name], value)
    assert [hook for hook, *_ in evaluated] == ["forward"] * 3
    for _, _, learning, noise in evaluated:
        assert not learning
        assert not any(value.any() for value in noise.values())


RULES = [Jittered, Perturbed, Shaken]


@pytest.mark.parametrize("name", ["dense", "convolution"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
@pytest.mark.parametrize("backend", ["eager", "native"])
@pytest.mark.parametrize("seeds", [4, 20])
def test_a_network_has_its_own_alone_and_among_others(rule, name, backend, seeds):
    expression, given = f"0.002*{rule.spec.name}", {"dtype": "float32", "evaluations": 3}
    several, _ = trained(rule, expression, name, backend, seeds=seeds, **given)
    one, _ = trained(rule, expression, name, backend, first_seed=3, seeds=1, **given)
    for key, value in one.items():
        assert torch.equal(several[key][3:4], value), key


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
def test_native_is_eager(rule, name):
    otherwise = name == "attention"
    # what is read in the first layer of the recurrent network comes from several steps
    otherwise |= name == "recurrent" and rule is Perturbed
    used = "eager" if otherwise else None
    assert_agree(rule, f"0.002*{rule.spec.name}", name, "native", used)


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("backend", ["eager", "native"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
def test_threads_change_no_bit(rule, backend, threads):
    given = {"seeds": 5, "dtype": "float32"}
    one, _ = trained(rule, f"0.002*{rule.spec.name}", "dense", backend, threads=1, **given)
    more, _ = trained(rule, f"0.002*{rule.spec.name}", "dense", backend, threads=threads, **given)
    for key, value in one.items():
        assert torch.equal(more[key], value), key


@pytest.mark.parametrize(
    "backend", ["eager", "native", pytest.param("compiled", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
def test_it_goes_on_after_a_resume(rule, backend, tmp_path, monkeypatch):
    """The same numbers, and so is seed 3 alone on the compiled backend."""
    spec = small(f"0.002*{rule.spec.name}", backend, seeds=4)
    rest = killed_and_resumed(spec, tmp_path, monkeypatch, rules=[rule])
    assert rest.record["backend"] == backend
    assert "resumed at sample 15" in rest.record["notes"]
    alone = spec.model_copy(update={"seeds": 1, "first_seed": 3})
    one = run(alone, rules=[rule]).parameters.named()
    for key, value in rest.parameters.named().items():
        torch.testing.assert_close(one[key], value[3:4], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
def test_compiled_is_eager(rule, name):
    assert_agree(rule, f"0.002*{rule.spec.name}", name, "compiled")


@pytest.mark.slow
@pytest.mark.usefixtures("users_compilers")
def test_compiled_is_eager_where_a_vector_of_numbers_is_left_over():
    """50 numbers are more than one vector of the processor, and no multiple of it."""
    more = {"options": {"net": "dense 50"}, "batch_size": 1, "seeds": 1}
    assert_agree(Jittered, "0.002*jittered", "dense", "compiled", **more)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.spec.name)
def test_tangents_are_those_of_finite_differences(rule):
    assert_tangents(rule)


def test_numbers_of_torch_are_refused():
    class Drawing(Rule):
        spec = spec_of("drawing", {"pre", "post"})

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post + torch.randn_like(s.post), s.pre)

    with pytest.raises(PlasticError) as caught:
        resolve("1*drawing", (6, 5, 3), rules=[Drawing])
    assert str(caught.value) == (
        "the rule 'drawing': plastic_local_update draws numbers of torch's generator; expected "
        "noise that its spec declares, the same on every backend and in every hook"
    )
