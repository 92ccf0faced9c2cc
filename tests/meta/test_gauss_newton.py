"""Thetas that take steps of Gauss and Newton towards the activities of a teacher."""

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from plastic_core import MetaSpec
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.experiments.meta.meta_learning import load_episodes, meta_learn, plan_meta
from plastic_core.networks.initialisation import initial_weights
from tests.meta.monomials import TERMS
from tests.meta.taught import OPTIONS, activities, learning, spec_of


def test_it_becomes_the_teacher_layer_by_layer():
    settings = {"teacher.bp": {"theta.dense1": 0.03, "theta.readout": 0.01}}
    fields = {"rule": "0.02*bp", "teacher": "bp", "by_layer": True}
    result = meta_learn(
        MetaSpec(task="digits-fewshot", options=OPTIONS, settings=settings, **fields)
    )
    assert result.record["teacher"] == {"bp.dense1": 0.03, "bp.readout": 0.01}
    (thetas,) = result.record["result"]["thetas"]
    assert thetas == pytest.approx({"bp.dense1": 0.03, "bp.readout": 0.01}, rel=1e-5)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_rule_is_recovered_among_other_terms(parallel):
    result = meta_learn(spec_of(seeds=3, parallel=parallel))
    for thetas in result.record["result"]["thetas"]:
        for term in TERMS:
            value = {"xy": 0.01, "yyw": -0.01}.get(term, 0.0)
            assert thetas[f"monomials.{term}"] == pytest.approx(value, abs=1e-6), term


def test_a_step_solves_the_linearised_squares():
    start = {"x": 2e-4, "y": -1e-3, "xy": 0.004, "yy": 2e-3, "w": -3e-3, "yyw": -0.006}
    settings = {"monomials": {f"theta.{name}": value for name, value in start.items()}}
    spec = spec_of(episodes=1, dtype="float64", settings=settings, parallel=2, learning_rate=0.5)
    plan = plan_meta(spec)
    episodes, inputs = load_episodes(plan, None, held_out=False)

    def differences(thetas):
        def ours(y, x, w):
            x_, y_, xy, yy, w_, yyw = thetas
            sums = x_ * x + y_ * y[:, None] + yy * y[:, None] ** 2
            return xy * np.outer(y, x) + sums + (w_ + yyw * y[:, None] ** 2) * w

        def theirs(y, x, w):
            return 0.01 * (np.outer(y, x) - y[:, None] ** 2 * w)

        found = []
        for episode in (episodes.draw(0, 0), episodes.draw(0, 1)):
            weights = [w.numpy() for w in initial_weights(plan.network, episode.network)]
            points, queries = (inputs[i].astype(float) for i in (episode.points, episode.queries))
            seen = [
                np.concatenate(
                    [y for x in queries for y in activities(learning(weights, points, rule), x)]
                )
                for rule in (ours, theirs)
            ]
            found.append(seen[0] - seen[1])
        return np.concatenate(found)

    begun = np.array([start[term] for term in TERMS])
    slopes = approx_fprime(begun, differences)
    step = np.linalg.lstsq(slopes, differences(begun), None)[0]
    history = meta_learn(spec).history
    np.testing.assert_allclose(history["theta"][0, 1], begun - 0.5 * step, rtol=1e-4)


def test_where_all_networks_diverge_the_figure_is_drawn(tmp_path):
    options = {**OPTIONS, "activation": "linear"}
    fields = {"rule": "1e30*hebbian", "teacher": "0.001*oja-single", "options": options}
    result = meta_learn(MetaSpec(episodes=2, **fields), out=tmp_path / "m")
    assert result.record["result"]["diverged"] == 2
    assert "notes" not in result.record
    assert (tmp_path / "m" / "meta_learning.png").stat().st_size > 5000


def test_what_changes_nothing_stays_where_it_is():
    # what x alone adds to all units of a softmax alike is taken out again
    result = meta_learn(spec_of(by_layer=True, episodes=1))
    (thetas,) = result.record["result"]["thetas"]
    still = [name for name, theta in thetas.items() if theta == 0]
    assert still == ["monomials@readout.x"]


def test_other_optimisers_come_closer():
    spec = spec_of(episodes=80, optimizer="Adam")
    assert spec.learning_rate == 1e-3
    loss = meta_learn(spec).history["loss"].to_numpy()[0]
    assert loss[-10:].mean() < loss[:10].mean() / 4


class Bounded(Rule):
    """Two terms whose thetas are not below 0."""

    spec = RuleSpec(
        name="bounded",
        summary="a y x' + b y",
        equation="a y x' + b y",
        reference="this test",
        modifies="forward",
        reads={"pre", "post"},
        theta={"a": Theta(default=0.0), "b": Theta(default=0.0)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.theta.a * s.post, s.pre) + outer(s.theta.b * s.post, torch.ones_like(s.pre))


class Free(Bounded):
    """The same, without bounds."""

    spec = Bounded.spec.model_copy(
        update={"name": "free", "theta": {n: Theta(default=0.0, min=None) for n in "ab"}}
    )


def test_bounds_are_those_of_the_squares():
    settings = {"teacher.free": {"theta.a": 0.01, "theta.b": -0.003}}
    fields = {"rule": "bounded", "teacher": "free", "settings": settings, "dtype": "float64"}
    spec = MetaSpec(options=OPTIONS, parallel=5, **fields)
    result = meta_learn(spec, rules=[Bounded, Free])
    (thetas,) = result.record["result"]["thetas"]
    assert thetas["bounded.b"] == 0
    # no other theta within the bounds is nearer, as finite differences have it
    last = {"settings": settings, "episodes": 1, "learning_rate": 1e-9, "parallel": 50}

    def loss(a, b=0.0):
        settings = {**last["settings"], "bounded": {"theta.a": a, "theta.b": b}}
        one = spec.model_copy(update={**last, "settings": settings})
        return meta_learn(one, rules=[Bounded, Free]).history["loss"].item()

    a = thetas["bounded.a"]
    assert loss(a) < min(loss(0.7 * a), loss(1.3 * a), loss(a, 1e-3), loss(0.01)) < loss(0) / 5


def test_settings_of_transforms_are_of_both():
    fields = {"rule": "0.01*bp", "teacher": "0.05*bp", "transforms": ("momentum",)}
    for settings in ({}, {"momentum": {"beta": 0.3}}):
        (thetas,) = meta_learn(
            MetaSpec(options=OPTIONS, settings=settings, episodes=10, **fields)
        ).record["result"]["thetas"]
        assert thetas["bp"] == pytest.approx(0.05, rel=1e-4)
