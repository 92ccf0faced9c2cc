"""What is refused far from the usual path: each message in full, through the doors of users."""

import numpy as np
import pytest
from pydantic import BaseModel

from plastic_core import PlasticError, Range, RunSpec, SearchSpec, Store, SweepSpec, run, sweep
from plastic_core.api import (
    Dataset,
    Measure,
    NetworkOptions,
    NetworkSpec,
    ProbeSpec,
    RecurrentSpec,
    RuleSpec,
    Task,
    TaskSpec,
    Theta,
)
from plastic_core.cli import execute

RNN = ["--task", "delayed-digits-rnn"]

COMMANDS = {
    "weights of a run that trains nothing": (
        ["run", "--reuse", "--save-weights"],
        "--reuse trains nothing, so that there are no weights to save",
    ),
    "layers that only the error changes": (
        ["run", *RNN, "--set", "oja.layers=1,3"],
        "layers of 'oja' = '1,3': in this network the layers 1, 3 learn by the rule that propagates "
        "the error alone; expected 2",
    ),
    "a probe of other networks": (
        ["run", "--probe", "recurrent-states"],
        "the probe 'recurrent-states' measures recurrent networks, and that of 'digits-mlp' is "
        "feedforward; there are activation-norm, alignment, explained-variance, filters, part-accuracy, "
        "reconstruction, residual, update-norm, weight-norm",
    ),
    "an input longer than the delay": (
        ["run", *RNN, "--present", "9", "--delay", "8"],
        "options of delayed-digits-rnn: present = 9 is longer than delay = 8, the step of the answer; "
        "give present up to 8",
    ),
    "a theta larger than any number": (
        ["run", "--set", "bp.theta=1e300"],
        "theta of 'bp' = 1e+300: expected at most 3.4e+38, the largest number of float32",
    ),
    "bounds the wrong way round": (
        ["run", "--transform", "weight-bounds", "--set", "weight-bounds.low=2"],
        "setting of 'weight-bounds': low = 2.0 must be below high = 1.0",
    ),
    "a plugin that is no Python": (
        ["run", "--plugin", "notes.txt"],
        "--plugin notes.txt: is no Python file; expected a name ending in .py",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_is_refused_with_one_message(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    arguments, message = COMMANDS[case]
    assert execute(arguments) == 2
    assert capsys.readouterr() == ("", f"plastic: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


POINTS, LABELS = np.zeros((8, 3)), np.arange(8) % 2

DATA = {
    "three points": (
        (POINTS[:3], LABELS[:3]),
        "data: 3 points are too few to split; give at least 4",
    ),
    "labels of several lengths": (
        (POINTS, [[0], [0, 1]]),
        "data: y holds no array of labels: setting an array element with a sequence. The requested "
        "array has an inhomogeneous shape after 1 dimensions. The detected shape was (2,) + "
        "inhomogeneous part.",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_arrays_that_are_no_data(case):
    data, message = DATA[case]
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", samples=5, seeds=1), data=data)
    assert str(caught.value) == message


X, Y = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])

DATASETS = {
    "labels of another number": (
        (X, Y[:3], X, Y),
        "the data of odd: inputs and labels have the shapes (4, 3) and (3,); expected "
        "[N, n] and [N], or as many at each of T steps, [N, T] or [N, T, m]",
    ),
    "held-out points of another width": (
        (X, Y, X[:, :2], Y),
        "the data of odd: training points have 3 features, held-out ones 2",
    ),
}


@pytest.mark.parametrize("case", DATASETS)
def test_a_dataset_whose_parts_do_not_fit(case):
    parts, message = DATASETS[case]

    class Odd(Task):
        spec = TaskSpec(name="odd", summary="of a test", options=NetworkOptions)

        def load(self, data_dir, options):
            return Dataset(*parts, classes=2)

        def network(self, options):
            return NetworkSpec(sizes=(3, 2))

    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", task="odd", samples=5, seeds=1), tasks=[Odd])
    assert str(caught.value) == message


class Bare(Task):
    """A task without a network."""

    spec = TaskSpec(name="bare", summary="of a test", options=NetworkOptions)

    def load(self, data_dir, options):
        raise AssertionError("there is no network to train on it")

    def network(self, options):
        return [3, 2]


def test_a_task_that_returns_no_network():
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", task="bare"), tasks=[Bare])
    assert str(caught.value) == (
        "the task 'bare': network() returned [3, 2]; expected a NetworkSpec, a LayeredSpec, a "
        "RecurrentSpec or a SequenceSpec"
    )


def test_a_class_in_place_of_a_list():
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp"), tasks=Bare)
    assert str(caught.value) == (
        f"tasks = {Bare!r}: expected a list of task classes, such as [MyTask]"
    )


class When(BaseModel):
    """A parameter that the core has itself."""

    when: str = "every"


def rule_spec(**fields):
    given = {"name": "mine", "summary": "x", "equation": "x", "reference": "none"}
    return RuleSpec(**{**given, "theta": Theta(default=1e-3), **fields})


def probe_spec(**fields):
    given = {"name": "mine", "summary": "x", "equation": "x", "reference": "none"}
    return ProbeSpec(**{**given, "measures": {"mine": Measure(long_name="x")}, **fields})


SPECS = {
    "feedback that is not there": (
        lambda: rule_spec(modifies={"forward", "feedback"}, reads={"pre"}),
        "RuleSpec: modifies 'feedback' but feedback is None; write 'layer' or 'output'",
    ),
    "a dimension of the core": (
        lambda: Measure(long_name="x", dims=("seed",)),
        "Measure: dims = ('seed',): expected different names, without seed and step, which the core "
        "adds",
    ),
    "a measure of the core": (
        lambda: probe_spec(measures={"accuracy": Measure(long_name="x")}),
        "ProbeSpec: measures: the names ['accuracy'] belong to the core; rename them",
    ),
    "a parameter of the core": (
        lambda: probe_spec(params=When),
        "ProbeSpec: params: the name when belongs to the core; rename it",
    ),
    "a search on the half that reports": (
        lambda: SearchSpec(ranges={"bp": Range(low=0, high=1)}, base=RunSpec()),
        "SearchSpec: a search chooses, so eval_half must be choose; the best is reported on the other",
    ),
    "an input longer than its network runs": (
        lambda: RecurrentSpec(inputs=2, hidden=2, classes=2, present=6, steps=5),
        "RecurrentSpec: present = 6: the input cannot be shown for longer than the 5 steps until the "
        "answer; give at most 5",
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_spec_of_a_plugin_is_refused(case):
    make, message = SPECS[case]
    with pytest.raises(PlasticError) as caught:
        make()
    assert str(caught.value) == message


def test_a_sweep_without_a_result_has_no_curves(tmp_path):
    spec = SweepSpec(rules=("hebbian",), base=RunSpec(seeds=1, samples=20, evaluations=1))
    (arm,) = sweep(spec, Store(tmp_path), workers=0).arms
    arm.results.clear()
    with pytest.raises(PlasticError) as caught:
        arm.curves()
    assert str(caught.value) == "hebbian: no network of it has a result"
