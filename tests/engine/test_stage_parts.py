"""Parts of the data that stages train on: which they are, in what order, and what is forgotten."""

import json

import numpy as np
import pytest

from plastic_core import PlasticError, RunSpec, load, run
from plastic_core.cli import execute
from plastic_core.plan.parent import read_parent
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.training.datasets import held_out_half, held_out_places
from plastic_core.training.stage_points import points_of_stages
from tests.engine.staged import DIGITS, SMALL, assert_same, spec_of, weights_of


def test_parts_go_on_where_runs_before_have_left_them(tmp_path):
    stages = ("0.01*bp: 70 on 0-4", "0.01*bp: 50", "0.01*bp: 60 on 0-4", "0.01*bp: 40")
    whole = run(spec_of(*stages))
    parent, chain = "", None
    for place, of in enumerate((stages[:1], stages[1:3], stages[3:])):
        chain = run(spec_of(*of, parent=parent), out=tmp_path / f"{place}")
        parent = str(tmp_path / f"{place}")
    assert_same(weights_of(chain), weights_of(whole))
    assert chain.record["parent"]["seen"] == {"": 50, "0-4": 130}
    # a record of before, which does not say of what the points were
    file = tmp_path / "1" / "run.json"
    record = json.loads(file.read_text())
    del record["parent"]["seen"]
    file.write_text(json.dumps(record))
    assert read_parent(tmp_path / "1").seen == {"": 70 + 50, "0-4": 60}


def test_a_stage_sees_its_classes_alone():
    plan = make_plan(spec_of("500 on 0-4", "400 on 7, 9", "300 on 0-4", "200"), Catalogue())
    evaluated = held_out_places(DIGITS, "report", 250)
    labels = DIGITS.held_out_labels[evaluated]
    points = points_of_stages(plan, DIGITS, evaluated)
    orders = [one.order([0, 3]) for one in points]
    seen = [{*DIGITS.labels[order].ravel().tolist()} for order in orders]
    assert seen == [{0, 1, 2, 3, 4}, {7, 9}, {0, 1, 2, 3, 4}, {*range(10)}]
    assert [order.shape for order in orders] == [(2, 500), (2, 400), (2, 300), (2, 200)]
    # a part goes on where it was left, so that no point is seen twice before all were seen
    count = len(points[0].training)
    first = np.concatenate([orders[0][0], orders[2][0]])[:count]
    assert len({*first.tolist()}) == count
    np.testing.assert_array_equal(points[0].parts["7, 9"], np.flatnonzero(np.isin(labels, [7, 9])))


def test_what_is_forgotten_is_measured():
    spec = spec_of("1500 on 0-4", "1500 on 5-9", rule="0.02*bp", probes=("part-accuracy",))
    result = run(spec)
    points, labels = held_out_half(DIGITS, "report", 250)
    right = result.networks.predict(points) == labels
    assert result.curves["part"].values.tolist() == ["0-4", "5-9"]
    measured = result.curves["part_accuracy"]
    for place, part in enumerate((labels < 5, labels >= 5)):
        np.testing.assert_allclose(measured[:, -1, place], right[:, part].mean(1), rtol=1e-6)
    at_end = measured.sel(step=1500).values[:, 0] - measured.isel(step=-1).values[:, 0]
    assert (at_end > 0.3).all()


def test_a_part_of_which_no_point_is_evaluated_is_not_known():
    spec = spec_of("30 on 0-4", "30 on 7", rule="bp", probes=("part-accuracy",))
    labels = held_out_half(DIGITS, "report", 2)[1].tolist()
    assert 7 not in labels
    measured = run(spec.model_copy(update={"eval_samples": 2})).curves["part_accuracy"]
    assert np.isnan(measured.sel(part="7")).all()


def test_without_stages_each_class_is_a_part():
    result = run(RunSpec(rule="0.02*bp", samples=500, probes=("part-accuracy",), **SMALL))
    points, labels = held_out_half(DIGITS, "report", 250)
    right = result.networks.predict(points) == labels
    measured = result.curves["part_accuracy"][:, -1]
    expected = np.stack([right[:, labels == one].mean(1) for one in range(10)], 1)
    np.testing.assert_allclose(measured, expected, rtol=1e-6)


def test_names_with_commas_and_colons_stand_in_quotes():
    x = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    y = np.array(["cat, black", "dog", "it: 3"])[np.arange(90) % 3]
    small = {**SMALL, "options": {"sizes": [5, 8, 3]}, "probes": ("part-accuracy",)}
    stages = ('bp: 30 on "cat, black",dog', 'plastic-learning:bp: 30 on "it: 3"')
    result = run(RunSpec(stages=stages, **small), data=(x, y))
    record = [stage["classes"] for stage in result.record["spec"]["stages"]]
    assert record == ['"cat, black",dog', '"it: 3"']
    assert result.curves["part"].values.tolist() == record
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(stages=("bp: 30 on cat, black",), **small), data=(x, y))
    assert str(caught.value) == (
        "stages: 'on cat, black': nothing is called 'cat'; write names with a comma in double "
        "quotes; there are cat, black, dog, it: 3"
    )


def test_what_is_forgotten_is_said(tmp_path, capsys):
    flags = ["--rule", "0.02*bp", "--sizes", "64,20,10", "--seeds", "2", "--evaluations", "4"]
    stages = ["--stage", "600 on 0-4", "--stage", "600 on 5-9", "--probe", "part-accuracy"]
    assert execute(["run", *flags, *stages, "--out", str(tmp_path / "run")]) == 0
    accuracy = 100 * load(tmp_path / "run").curves["part_accuracy"].values.mean(0)
    said = capsys.readouterr().out
    for place, part in enumerate(("0-4", "5-9")):
        last, best = accuracy[-1, place], accuracy[:, place].max()
        assert f"accuracy on {part}: {last:.2f}% at the end, {best:.2f}% at best\n" in said


def test_parts_that_are_the_same_go_on():
    spec = spec_of("300 on 0-4", "300 on 4,0, 1-3")
    points = points_of_stages(make_plan(spec, Catalogue()), DIGITS, np.arange(5))
    first, second = (one.order([0])[0] for one in points)
    assert not {*first.tolist()} & {*second.tolist()}
    with pytest.raises(PlasticError, match="'4-0' is no range, for 0 comes before 4"):
        run(spec_of("30 on 4-0"))


def test_without_stages_parts_are_counted_as_classes_are():
    result = run(RunSpec(rule="bp", samples=20, probes=("part-accuracy",), **SMALL))
    assert result.curves["part"].values.tolist() == [*map(str, range(10))]
