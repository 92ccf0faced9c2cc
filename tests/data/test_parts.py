"""Data that a task divides into parts, which stages learn one after the other."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import BaseModel

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Dataset, NetworkSpec, Task, TaskSpec
from plastic_core.results.sources import digest_of
from plastic_core.results.store import Store
from plastic_core.training.datasets import check_dataset, held_out_places
from plastic_tasks.datasets import load_digits
from tests.test_datasets import load

SMALL = {
    "task": "permuted-digits-mlp",
    "rule": "0.02*bp",
    "seeds": 3,
    "evaluations": 2,
    "options": {"sizes": [64, 30, 10], "orders": 2},
}


def test_each_part_has_the_pixels_in_an_order_of_its_own(tmp_path):
    data, digits = load("permuted-digits-mlp", tmp_path, orders=4), load_digits()
    assert data.parts == ("o1", "o2", "o3", "o4")
    seen = set()
    for place in range(4):
        mine = data.part == place
        permuted = data.inputs[mine]
        np.testing.assert_array_equal(data.labels[mine], digits.labels)
        np.testing.assert_array_equal(np.sort(permuted), np.sort(digits.inputs))
        assert (permuted == digits.inputs).all() == (place == 0)
        seen.add(permuted.tobytes())
        mine = data.held_out_part == place
        np.testing.assert_array_equal(data.held_out_labels[mine], digits.held_out_labels)
    assert len(seen) == 4
    fewer = load("permuted-digits-mlp", tmp_path, orders=2)
    np.testing.assert_array_equal(fewer.inputs, data.inputs[: len(fewer.inputs)])


def test_images_of_mnist_are_the_first_of_it(small_mnist):
    data = load("permuted-mnist-mlp", small_mnist, orders=3, images=20)
    plain = load("mnist-mlp", small_mnist)
    assert data.inputs.shape == (60, 784)
    np.testing.assert_array_equal(data.inputs[:20], plain.inputs[:20])
    np.testing.assert_array_equal(data.held_out_inputs[:40], plain.held_out_inputs)
    check_dataset(data, "the data")


def test_what_is_forgotten_of_a_part_is_measured(tmp_path):
    spec = RunSpec(stages=("1500 on o1", "1500 on o2"), probes=("part-accuracy",), **SMALL)
    result = run(spec)
    measured = result.curves["part_accuracy"]
    assert measured["part"].values.tolist() == ["o1", "o2"]
    data = load("permuted-digits-mlp", tmp_path, orders=2)
    places = held_out_places(data, "report", 2000)
    right = result.networks.predict(data.held_out_inputs[places]) == data.held_out_labels[places]
    for place in (0, 1):
        expected = right[:, data.held_out_part[places] == place].mean(1)
        np.testing.assert_allclose(measured[:, -1, place], expected, rtol=1e-6)
    assert (measured[:, 0, 0] - measured[:, 1, 0] > 0.1).all()
    assert [one["classes"] for one in result.record["stages"]] == ["o1", "o2"]


def test_a_stage_on_the_first_part_is_a_run_on_it_alone():
    alone = {**SMALL, "task": "digits-mlp", "options": {"sizes": [64, 30, 10]}, "samples": 300}
    both = run(RunSpec(stages=("300 on o1", "10 on o2"), **SMALL))
    first = run(RunSpec(stages=("300 on o1",), **SMALL)).parameters.named()
    for name, value in run(RunSpec(**alone)).parameters.named().items():
        np.testing.assert_array_equal(first[name], value)
        assert (both.parameters.named()[name] != value).any()


class Options(BaseModel):
    """None."""


class Halves(Task[Options]):
    """Numbers to predict, in two parts."""

    spec = TaskSpec(name="halves", summary="two functions of numbers", options=Options)

    def load(self, data_dir, options):
        source = np.random.default_rng(0)
        x = source.normal(size=(120, 3)).astype(np.float32)
        part = np.arange(120) // 60
        y = np.where(part[:, None] == 0, x[:, :1], -x[:, :1])
        train, rest = slice(None, None, 2), slice(1, None, 2)
        parts = {"parts": ("up", "down"), "part": part[train], "held_out_part": part[rest]}
        return Dataset(x[train], y[train], x[rest], y[rest], **parts)

    def network(self, options):
        return NetworkSpec(sizes=(3, 1), loss="squared-error", activation="linear")


def test_numbers_are_predicted_in_parts():
    spec = RunSpec(
        task="halves", rule="0.05*bp", seeds=2, stages=("400 on up", "400 on down"), evaluations=2
    )
    result = run(spec, tasks=[Halves])
    x, data = np.eye(3, dtype=np.float32)[:1], run(spec, tasks=[Halves]).curves
    assert (result.networks.predict(x) < -0.8).all()  # as it is in the second part
    assert data["stage"].values.tolist() == [1, 2]


DATA = Halves().load(None, Options())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"part": None},
            "part holds 0 numbers for 60 points; expected one of each, of 0 to 1, the places of "
            "its part in parts",
        ),
        (
            {"held_out_part": np.full(60, 2)},
            "held_out_part holds 60 numbers for 60 points; expected one of each, of 0 to 1, the "
            "places of its part in parts",
        ),
        ({"parts": ()}, "part is given, and no parts; give their names"),
        (
            {"parts": ("up", "up")},
            "the parts up, up are not told apart, from each other or from the classes; give each a "
            "name of its own",
        ),
    ],
)
def test_parts_that_do_not_fit_are_explained(changes, message):
    with pytest.raises(PlasticError) as caught:
        check_dataset(replace(DATA, **changes), "the data")
    assert str(caught.value) == f"the data: {message}"


def test_other_parts_are_other_data(tmp_path):
    assert digest_of(DATA) != digest_of(replace(DATA, part=1 - DATA.part))
    store = Store(tmp_path)
    first = RunSpec(stages=("30 on o1", "30 on o2"), **SMALL)
    other = RunSpec(stages=("30 on o2", "30 on o1"), **SMALL)
    run(first, store=store)
    again = [run(spec, store=store, reuse=True).record["backend_reason"] for spec in (first, other)]
    assert [reason == "from the store" for reason in again] == [True, False]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("30 on o1,3", "names classes and parts of the data; name either"),
        (
            "30 on o3",
            "nothing is called 'o3'; there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, o1, o2",
        ),
    ],
)
def test_what_is_no_part_is_explained(stage, message):
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(stages=(stage,), **SMALL))
    text = stage.partition("on ")[2]
    separator = " " if message.startswith("names") else ": "
    assert str(caught.value) == f"stages: 'on {text}'{separator}{message}"
