"""Thetas that are learned from the activities of a network that learns by a known rule."""

import json

import numpy as np
import pytest
import xarray as xr

from plastic_core import MetaSpec, PlasticError, RunSpec
from plastic_core.cli import execute
from plastic_core.experiments.meta.meta_learning import load_episodes, meta_learn, plan_meta
from plastic_core.networks.initialisation import initial_weights
from tests.daily import combined
from tests.meta.monomials import TERMS
from tests.meta.taught import OPTIONS, PLUGIN, activities, learning, spec_of


def test_the_loss_is_the_mean_squared_difference_of_all_activities():
    given = {"x": 2e-4, "y": -1e-3, "xy": 0.004, "yy": 2e-3, "w": -3e-3, "yyw": -0.006}
    settings = {"monomials": {f"theta.{name}": value for name, value in given.items()}}
    spec = spec_of(episodes=1, dtype="float64", settings=settings)
    plan = plan_meta(spec)
    episodes, inputs = load_episodes(plan, None, held_out=False)
    episode = episodes.draw(0, 0)
    weights = [w.numpy() for w in initial_weights(plan.network, episode.network)]
    points, queries = (inputs[i].astype(float) for i in (episode.points, episode.queries))

    def ours(y, x, w):
        new = given["xy"] * np.outer(y, x) + given["x"] * x + given["y"] * y[:, None]
        squared = y[:, None] ** 2
        return new + given["yy"] * squared + given["w"] * w + given["yyw"] * squared * w

    def theirs(y, x, w):
        return 0.01 * (np.outer(y, x) - y[:, None] ** 2 * w)

    learned = [learning(weights, points, increment) for increment in (ours, theirs)]
    found = [[np.concatenate(activities(w, x)) for x in queries] for w in learned]
    expected = ((np.array(found[0]) - np.array(found[1])) ** 2).mean()
    history = meta_learn(spec).history
    assert expected > 1e-4
    assert history["loss"].to_numpy()[0, 0] == pytest.approx(expected, rel=1e-9)
    long_name = "mean squared difference from the activities of the teacher"
    assert history["loss"].attrs == {"long_name": long_name, "units": "1"}


CASES = [
    {"rule": "0.02*bp + 0.003*oja-single", "teacher": "0.03*bp + 0.001*oja"},
    {"rule": "0.02*fa + 0.003*hebbian-error", "teacher": "0.03*bp"},
    {"rule": "0.02*bp + 0.003*oja-single", "teacher": "0.03*bp", "by_layer": True},
    {"rule": "0.02*bp + 0.003*oja-single", "by_layer": True},  # of the loss of the queries
    {"rule": "monomials", "teacher": "0.01*oja-single", "by_layer": True},
]


@pytest.mark.parametrize(("case", "backend"), combined(range(len(CASES)), ["native", "eager"]))
def test_the_gradient_is_that_of_finite_differences(case, backend):
    fields = {"teacher": "", **CASES[case], "episodes": 1, "dtype": "float64", "backend": backend}
    rates = {"optimizer": "SGD", "learning_rate": 1e-12}
    result = meta_learn(spec_of(**fields, **rates))
    assert result.record["backend"] == backend
    gradient, start = (result.history[name].to_numpy()[0, 0] for name in ("gradient", "theta"))
    names = result.history["rule"].to_numpy().tolist()
    assert len(names) == len(set(names)) == len(start)
    for p, name in enumerate(names):
        losses = [
            loss_at(spec_of(**fields), {**dict(zip(names, start, strict=True)), name: value})
            for value in (start[p] + 1e-6, start[p] - 1e-6)
        ]
        slope = (losses[0] - losses[1]) / 2e-6
        if name == "monomials@readout.x":  # adds the same to all units, which softmax takes out
            assert slope == pytest.approx(0, abs=1e-8) == gradient[p]
            continue
        assert abs(slope) > 1e-6, name
        assert gradient[p] == pytest.approx(slope, rel=1e-5), name


def loss_at(spec, thetas):
    """Return the loss of the first episode, at these thetas."""
    from plastic_core.experiments.meta.inner_loop import InnerLoop
    from plastic_core.experiments.meta.meta_learning import plan_teacher
    from plastic_core.plugins.catalogue import Catalogue

    catalogue = Catalogue(spec.plugins)
    plan, teacher = plan_meta(spec, catalogue), plan_teacher(spec, catalogue)
    episodes, inputs = load_episodes(plan, None, held_out=False)
    inner = InnerLoop(plan, inputs, "eager", 1, teacher)
    answers = inner.learn(np.array([[*thetas.values()]]), [episodes.draw(0, 0)])
    return answers.loss[0]


@pytest.mark.parametrize("net", ["conv 3 3x3 / pool 2", "tokens 4x4 6 / attention 2 / mean"])
def test_activities_of_convolutions_and_attention(net):
    options = {"ways": 2, "shots": 3, "queries": 2, "net": net}
    spec = {"task": "digits-fewshot", "options": options, "episodes": 1, "dtype": "float64"}
    same = meta_learn(MetaSpec(rule="0.05*bp", teacher="0.05*bp", **spec)).history
    assert same["loss"].item() < 1e-20
    other = meta_learn(MetaSpec(rule="0.05*bp+oja", teacher="0.04*bp", **spec)).history
    assert other["loss"].item() > 1e-9
    assert (other["gradient"] != 0).all()


FLAGS = [
    *("--ways", "3", "--shots", "1", "--queries", "8", "--sizes", "64,12,10"),
    *("--activation", "tanh", "--episodes", "4"),
]


def test_by_the_command_line(tmp_path, capsys):
    command = ["meta", "--plugin", PLUGIN, "--rule", "monomials", "--teacher", "monomials", *FLAGS]
    command += ["--set", "teacher.monomials.theta.xy=0.01", "--set", "monomials.theta.w=-0.001"]
    assert execute([*command, "--out", str(tmp_path / "a")]) == 0
    out, err = capsys.readouterr()
    assert "rule monomials, to become monomials\n" in err
    assert "GaussNewton, learning rate 1, L1 0\n" in err
    record = json.loads((tmp_path / "a" / "meta.json").read_text())
    assert record["spec"]["teacher"] == "monomials"
    assert record["teacher"]["monomials.xy"] == 0.01
    (learned,) = record["result"]["thetas"]
    (row,) = [line.split() for line in out.splitlines() if "monomials.xy" in line.split()]
    assert row == ["monomials.xy", "0.01", f"{learned['monomials.xy']:.4g}"]
    history = xr.load_dataset(tmp_path / "a" / "history.nc")
    last, first = history["loss"].item(-1), history["loss"].item(0)
    assert (
        f"mean squared difference from the activities of the teacher: {last:.2g} in the last "
        f"episode, {first:.2g} in the first\n" in out
    )
    assert "accuracy" not in out
    assert history["theta"].sel(rule="monomials.w")[0, 0] == -0.001
    assert execute([*command, "--out", str(tmp_path / "a"), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thetas"] == [learned]
    another = [*command, "--set", "teacher.monomials.theta.x=0.01", "--out", str(tmp_path / "a")]
    assert execute([*another, "--resume"]) == 2
    assert "holds another meta-learned rule" in capsys.readouterr().err


def test_of_many_seeds_their_range_and_what_still_moves(tmp_path, capsys):
    command = ["meta", "--plugin", PLUGIN, *FLAGS, "--seeds", "5", "--rule", "monomials"]
    out = str(tmp_path / "a")
    assert execute([*command, "--teacher", "0.05*sanger", "--out", out]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "theta teacher median least greatest" in said
    assert "let them settle" in said
    # what was learned is the spec of a run
    result = meta_learn(spec_of(episodes=2, seeds=2), out=tmp_path / "b")
    for seed, thetas in enumerate(result.record["result"]["thetas"]):
        spec = RunSpec.from_file(tmp_path / "b" / f"rule-{seed}.toml", plugins=[PLUGIN])
        assert spec.rule == "monomials"
        own = {name.partition(".")[2]: value for name, value in thetas.items()}
        assert spec.settings == {"monomials": {f"theta.{n}": v for n, v in own.items()}}
    rule = str(tmp_path / "b" / "rule-1.toml")
    assert execute(["run", rule, "--samples", "20", "--seeds", "1", "--plugin", PLUGIN]) == 0


def test_a_theta_of_one_layer_and_of_each(tmp_path, capsys):
    command = ["meta", "--plugin", PLUGIN, *FLAGS, "--json"]
    one = ["--rule", "bp+oja", "--set", "bp.theta.dense1=0.01", "--out", str(tmp_path / "one")]
    assert execute([*command, *one]) == 0
    (learned,) = json.loads(capsys.readouterr().out)["thetas"]
    assert [*learned] == ["bp", "bp.dense1", "oja"]
    each = ["--rule", "0.01*bp+monomials", "--by-layer", "--out", str(tmp_path / "each")]
    assert execute([*command, *each]) == 0
    (learned,) = json.loads(capsys.readouterr().out)["thetas"]
    assert [*learned] == [
        *("bp.dense1", "bp.readout"),
        *(f"monomials@{layer}.{term}" for layer in ("dense1", "readout") for term in TERMS),
    ]
    record = json.loads((tmp_path / "each" / "meta.json").read_text())
    assert record["backend"] == "native"


def test_native_and_eager_learn_the_same():
    both = [
        meta_learn(spec_of(episodes=5, by_layer=True, dtype="float64", backend=backend))
        for backend in ("native", "eager")
    ]
    assert [one.record["backend"] for one in both] == ["native", "eager"]
    assert abs(both[0].history["theta"] - both[1].history["theta"]).max() < 1e-9


def test_mistakes():
    options = {**OPTIONS, "activation": "linear", "shots": 20}
    with pytest.raises(PlasticError) as caught:
        meta_learn(spec_of(teacher="50*oja", options=options, episodes=1))
    assert str(caught.value).startswith(
        "teacher '50*oja': a network that learns by it leaves the finite range after "
    )
    assert str(caught.value).endswith(" points; give it smaller thetas")
    with pytest.raises(PlasticError) as caught:
        meta_learn(spec_of(teacher="", settings={"teacher.oja": {"theta": 0.1}}))
    assert "teacher.oja" in str(caught.value)


def test_a_rule_that_acts_everywhere_at_once_is_not_taken_apart():
    from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer

    class Both(Rule):
        spec = RuleSpec(
            name="both",
            summary="backpropagation with two thetas",
            equation="-a e y' - b e",
            reference="this test",
            modifies="forward",
            reads={"pre", "error", "weight_error"},
            theta={"a": Theta(default=0.01), "b": Theta(default=0.01)},
            propagates=True,
        )

        @hookimpl
        def plastic_propagate_error(self, s):
            return s.weight_error

        @hookimpl
        def plastic_local_update(self, s):
            return outer(-(s.theta.a + s.theta.b) * s.error, s.pre)

    spec = MetaSpec(rule="both", task="digits-fewshot", by_layer=True, episodes=1)
    with pytest.raises(PlasticError) as caught:
        meta_learn(spec, rules=[Both])
    assert str(caught.value) == (
        "by_layer: 'both' has several thetas and plastic_propagate_error, which acts in all layers "
        "at once; leave out --by-layer"
    )


def test_a_spec_without_a_teacher_is_written_as_before():
    written = MetaSpec(rule="bp").model_dump(mode="json")
    assert not {"teacher", "by_layer"} & written.keys()
    assert MetaSpec(**written) == MetaSpec(rule="bp")
    fields = ("optimizer", "learning_rate", "episodes", "l1")
    for given, expected in (
        ({}, ("Adam", 1e-3, 600, 0.1)),
        ({"teacher": "bp"}, ("GaussNewton", 1, 20, 0)),
        ({"teacher": "bp", "optimizer": "Adam", "l1": 1}, ("Adam", 1e-3, 600, 1)),
        ({"teacher": "bp", "learning_rate": 0.1, "episodes": 3}, ("GaussNewton", 0.1, 3, 0)),
    ):
        assert tuple(getattr(MetaSpec(**given), name) for name in fields) == expected
    for given, message in (
        (
            {"optimizer": "GaussNewton"},
            "MetaSpec: optimizer = 'GaussNewton': it minimises squares, the differences from a "
            "teacher, and there is none; give one, or an optimiser such as Adam",
        ),
        (
            {"teacher": "bp", "clip": 1},
            "MetaSpec: clip = 1: GaussNewton minimises squares alone; leave it out, or give an "
            "optimiser such as Adam",
        ),
        (
            {"teacher": "bp", "l1": 0.01},
            "MetaSpec: l1 = 0.01: GaussNewton minimises squares alone; leave it out, or give an "
            "optimiser such as Adam",
        ),
    ):
        with pytest.raises(PlasticError) as caught:
            MetaSpec(**given)
        assert str(caught.value) == message
