"""``plastic meta``, through the command line and from Python."""

import json
import signal

import numpy as np
import pytest
import xarray as xr

from plastic_core import MetaSpec, PlasticError
from plastic_core.cli import execute
from plastic_core.experiments.meta.meta_learning import (
    expression,
    load_episodes,
    meta_learn,
    plan_meta,
)
from plastic_core.results import result_folder
from tests.processes import CHECKPOINTS, dies, plastic

SMALL = {"ways": 3, "shots": 8, "queries": 4, "sizes": "64,12,10"}
FLAGS = ["--ways", "3", "--shots", "8", "--queries", "4", "--sizes", "64,12,10"]


def small(rule="0.01*bp+oja", **fields):
    fields = {"episodes": 8, "task": "digits-fewshot", "options": SMALL, **fields}
    return MetaSpec(rule=rule, **fields)


def test_a_learned_rule_is_taken_by_run(tmp_path, capsys):
    folder = tmp_path / "meta"
    arguments = ["meta", "--rule", "0.01*fa+oja", "--episodes", "5", "--seeds", "2", *FLAGS]
    assert execute([*arguments, "--out", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(p.name for p in folder.iterdir()) == [
        "history.nc", "meta.json", "meta_learning.png",
    ]  # fmt: skip
    record = json.loads((folder / "meta.json").read_text())
    assert record["result"]["learned"] == printed["learned"]
    history = xr.load_dataset(folder / "history.nc")
    assert history["theta"].dims == ("seed", "step", "rule")
    assert history["theta"].sizes == {"seed": 2, "step": 6, "rule": 2}
    assert (history["theta"][:, 0] == [0.01, 0]).all()
    for rule in printed["learned"]:
        assert execute(["run", "--rule", rule, "--seeds", "1", "--samples", "20", "--out",
                        str(tmp_path / rule[:6])]) == 0  # fmt: skip


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_meta_learning_improves_the_rule(backend):
    result = meta_learn(small("0.001*bp", episodes=60, backend=backend, learning_rate=3e-3))
    loss = result.history["loss"].to_numpy()[0]
    assert result.record["backend"] == backend
    assert loss[-15:].mean() < loss[:15].mean() - 0.1


def test_native_and_eager_learn_the_same():
    thetas = [
        meta_learn(small("0.01*fa+oja+b-update", backend=backend, dtype="float64")).history["theta"]
        for backend in ("native", "eager")
    ]
    assert abs(thetas[0] - thetas[1]).max() < 1e-9


def test_seeds_are_the_same_alone_and_side_by_side():
    three = meta_learn(small(seeds=3, parallel=2)).history["theta"]
    alone = meta_learn(small(first_seed=2, parallel=2)).history["theta"]
    assert np.array_equal(three[2], alone[0])


def test_a_step_is_that_of_the_optimiser():
    spec = small("0.01*bp+oja", episodes=1, optimizer="SGD", learning_rate=1e-4, l1=0.5)
    history = meta_learn(spec).history
    before, after = history["theta"].to_numpy()[0]
    step = history["gradient"].to_numpy()[0, 0] + 0.5 * np.sign(before)
    assert np.allclose(after, np.maximum(before - 1e-4 * step, 0), rtol=1e-12)


def test_what_is_of_no_use_is_driven_to_zero_and_left_out():
    result = meta_learn(small("0.01*bp+1e-4*weight-decay", l1=1000.0))
    assert result.history["theta"].to_numpy()[0, -1, 1] == 0
    assert "weight-decay" not in result.learned[0]
    assert expression({"bp": 0.0, "oja": 0.0}) == "0*bp + 0*oja"


def test_a_theta_without_bounds_may_become_negative():
    result = meta_learn(small("0.01*bp+1e-4*hebbian-error", l1=1e5, optimizer="SGD"))
    assert result.history["theta"].to_numpy()[0, 1, 1] < 0


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_networks_that_diverge_are_counted_and_stop_nothing(backend):
    options = {**SMALL, "activation": "linear"}
    fields = {"learning_rate": 1e-9, "options": options, "backend": backend}
    result = meta_learn(small("0.01*bp+50*oja", **fields))
    found = result.record["result"]
    assert found["diverged"] == 8
    assert (result.history["accuracy"] == 0.1).all()
    assert (result.history["gradient"] == 0).all()


def test_where_all_diverge_the_thetas_go_back_and_steps_become_shorter():
    spec = small("0.01*bp+oja", episodes=80, optimizer="SGD", learning_rate=2e-2, l1=0.5)
    history = meta_learn(spec).history
    theta, gradient, diverged = (
        history[name].to_numpy()[0] for name in ("theta", "gradient", "diverged")
    )
    assert 2 <= diverged.sum() <= 40, "there is nothing to see"
    way = []  # that led to the thetas of the episode, without what was undone
    for k in range(80):
        if diverged[k]:
            expected = theta[0] if len(way) < 10 else way[-10]
            way = way[:-10]
        else:
            way.append(theta[k])
            length = 2e-2 * 0.5 ** diverged[:k].sum()
            step = length * (gradient[k] + 0.5 * np.sign(theta[k]))
            expected = np.maximum(theta[k] - step, 0)
        assert np.allclose(theta[k + 1], expected, rtol=1e-9), k


class StoppedError(Exception):
    pass


@pytest.mark.parametrize(
    ("optimizer", "rate", "episodes", "after"), [("NAdam", 1e-3, 12, 5), ("SGD", 2e-2, 12, 4)]
)
def test_stopped_and_resumed_it_learns_the_same(
    tmp_path, monkeypatch, optimizer, rate, episodes, after
):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    spec = small(episodes=episodes, optimizer=optimizer, learning_rate=rate)
    whole = meta_learn(spec).history
    # what SGD learns diverges, before it is stopped and after
    lost = np.flatnonzero(whole["diverged"].to_numpy()[0])
    assert optimizer == "NAdam" or lost.min() < after <= lost.max()

    def stop(history):
        if history.done == after:
            raise StoppedError

    with pytest.raises(StoppedError):
        meta_learn(spec, out=tmp_path / "meta", on_episode=stop)
    assert (tmp_path / "meta" / "checkpoint.safetensors").exists()
    assert meta_learn(spec, out=tmp_path / "meta", resume=True).history.identical(whole)


def test_gradients_are_clipped_and_counted():
    result = meta_learn(small(clip=1e-3))
    assert result.record["result"]["clipped"] == 8
    norm = (result.history["gradient"] ** 2).sum("rule") ** 0.5
    assert np.allclose(norm, 1e-3)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_numbers(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def learn(folder, *more, first=""):
        command = ["meta", "--rule", "0.01*bp+oja", "--episodes", "40", *FLAGS, *more]
        return plastic(*command, "--out", str(folder), first=CHECKPOINTS + first)

    assert learn(whole).returncode == 0
    died = learn(killed, first=dies(r"^os\.rename .*/killed/checkpoint", 30))
    assert died.returncode == -signal.SIGKILL
    assert (killed / "checkpoint.safetensors").exists()
    resumed = learn(killed, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    histories = [xr.load_dataset(folder / "history.nc") for folder in (whole, killed)]
    assert histories[0].identical(histories[1])
    assert not (killed / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("transform", ["momentum", "adam", "rmsprop"])
def test_thetas_are_learned_through_transforms(transform, tmp_path):
    flags = [
        "--rule",
        "0.1*bp",
        "--episodes",
        "3",
        "--shots",
        "3",
        "--queries",
        "3",
        "--l1",
        "1e-9",
    ]
    command = ["meta", *flags, "--transform", transform]
    if transform != "momentum":
        # of which thetas cancel but for their ratio
        command[2] = "0.1*bp + 0.05*oja"
    assert execute([*command, "--out", str(tmp_path)]) == 0
    history = xr.load_dataset(tmp_path / "history.nc")
    assert (history.diverged == 0).all()
    assert (history.gradient != 0).any()
    assert np.isfinite(history.gradient).all()


def test_thetas_are_learned_in_convolutions_and_attention():
    for net in ("conv 3 3x3 / pool 2", "tokens 4x4 6 / attention 2 / mean"):
        spec = MetaSpec(
            rule="0.05*bp + 0.001*oja",
            **{"task": "digits-fewshot", "episodes": 3, "seeds": 1, "parallel": 2},
            options={"ways": 2, "shots": 3, "queries": 2, "net": net},
        )
        history = meta_learn(spec).history
        assert np.isfinite(history.gradient).all()
        assert (history.gradient != 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "digits-mlp", "--rule", "bp"],
            "task 'digits-mlp': it has no episodes; few-shot tasks are digits-fewshot, "
            "emnist-fewshot, mnist-fewshot",
        ),
        (
            ["--ways", "11"],
            "ways = 11: the training points of digits-fewshot have 10 classes; give at most 10",
        ),
        (
            ["--shots", "80", "--queries", "30"],
            "shots = 80 and queries = 30: the training points of digits-fewshot have 87 points of "
            "one class; give at most 87 together",
        ),
        (
            ["--rule", "bp", "--teacher", "bq"],
            "teacher: there is no rule 'bq'; did you mean 'bp'?\n  installed rules: anti-hebbian, "
            "b-decay, b-update, bp, dfa, fa, hebbian, hebbian-error, kolen-pollack, oja, "
            "oja-single, sanger, sign-symmetric, weight-decay\n"
            "  'plastic plugins' shows where each comes from",
        ),
        (
            ["--rule", "bp", "--teacher", "bp", "--set", "teacher.bp.theta=cosine(0.1)"],
            "teacher: thetas over time (bp): a teacher's thetas stay as they are; give a number, "
            "such as 0.1",
        ),
        (["--episodes", "0"], "episodes = '0': input should be greater than 0"),
        (["--resume"], "--resume needs --out DIR, the folder to continue"),
    ],
)
def test_mistakes(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert execute(["meta", *arguments]) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["Adm", "LBFGS", "SparseAdam", "Adafactor", "Muon"])
def test_an_optimiser_that_is_none_is_named_with_those_there_are(capsys, name):
    assert execute(["meta", "--optimizer", name]) == 2
    assert capsys.readouterr().err == (
        f"plastic: optimizer = '{name}': expected one that steps each theta by itself: ASGD, "
        "Adadelta, Adagrad, Adam, AdamW, Adamax, GaussNewton, NAdam, RAdam, RMSprop, Rprop, SGD\n"
    )


def test_a_folder_with_another_rule_is_not_continued(tmp_path):
    meta_learn(small(episodes=1), out=tmp_path / "m")
    with pytest.raises(PlasticError, match="holds a meta-learned rule already"):
        meta_learn(small(episodes=1), out=tmp_path / "m")
    with pytest.raises(PlasticError, match="holds another meta-learned rule"):
        meta_learn(small("0.01*fa", episodes=1), out=tmp_path / "m", resume=True)
    (tmp_path / "m" / "meta.json").write_text("{}")
    with pytest.raises(PlasticError, match="is no record of a meta-learned rule"):
        meta_learn(small(episodes=1), out=tmp_path / "m", resume=True)


@pytest.mark.parametrize("divide", ["images", "classes"])
@pytest.mark.parametrize("head", ["all", "ways"])
def test_episodes(divide, head):
    plan = plan_meta(small(options={**SMALL, "divide": divide, "head": head, "sizes": None}))
    seen, labels = [], []
    for held_out in (False, True):
        episodes, inputs = load_episodes(plan, None, held_out)
        episode = episodes.draw(3, 7)
        assert len(episode.points) == 24
        assert len(episode.queries) == 12
        assert not set(episode.points) & set(episode.queries)
        again = episodes.draw(3, 7)
        assert np.array_equal(episode.points, again.points)
        assert not np.array_equal(episode.points, episodes.draw(3, 8).points)
        assert episode.network != episodes.draw(4, 7).network
        # shuffled: not class by class
        assert (np.diff(episode.labels) != 0).sum() > 3
        assert set(episode.labels) == set(episode.query_labels)
        if head == "ways":
            assert set(episode.labels) == {0, 1, 2}
        seen.append({row.tobytes() for row in inputs})
        labels.append({tuple(episodes.draw(0, n).labels) for n in range(20)})
    shared = seen[0] & seen[1]
    assert len(shared) < 10, "a few of the images may be alike"
    if divide == "classes" and head == "all":
        classes = [{label for one in part for label in one} for part in labels]
        assert not classes[0] & classes[1]
