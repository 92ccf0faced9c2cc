"""Searches for the thetas of figures, and their records."""

import json

import numpy as np

from plastic_core.cli import execute
from plastic_core.experiments.reproducing.figure_files import read_figure
from plastic_core.experiments.sweeping.grid import parse_axis
from tests.figures.conftest import SMALL


def test_thetas_are_searched_anew_and_the_record_is_kept(noise, tmp_path, monkeypatch):
    def with_a_small_grid(name):
        grid = {"bp": "1e-6,2e-6", "oja": "1e-4,1e-3"}
        return read_figure(name).model_copy(update={"grid": grid})

    monkeypatch.setattr(
        "plastic_core.experiments.reproducing.reproduce.read_figure", with_a_small_grid
    )
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "fig1a", *SMALL, *where, "--search"]) == 0
    found = json.loads((tmp_path / "fig1a" / "claims.json").read_text())
    bp, both = found["search"]
    assert (bp["rule"], both["rule"]) == ("bp", "oja+bp")
    arms = found["networks"]["five layers"]["arms"]
    assert [arm["thetas"] for arm in arms] == [bp["thetas"], both["thetas"]]
    # two values have an end at each side, so that the grids grew until the best was inside
    assert bp["grown"]["bp"] == both["grown"]["bp"]  # for both, whichever wanted it
    for one in (bp, both):
        assert one["grid"] == {
            axis: with_a_small_grid("fig1a").grid[axis] for axis in one["thetas"]
        }
        assert one["at_edge"] == []
        start = {axis: parse_axis(f"{axis}={v}")[1] for axis, v in one["grid"].items()}
        more, every = 0, 1  # along one axis, the others at their best, which may change
        for axis, values in one["grown"].items():
            _, tried = parse_axis(f"{axis}={values}")
            chosen = one.get("best", one["thetas"])[axis]
            assert chosen == 0 or min(tried) < chosen < max(tried)
            assert values.find(one["grid"][axis]) >= 0
            more += len(tried) - len(start[axis])
            every *= len(tried)
        first = np.prod([len(tried) for tried in start.values()])
        assert first + more <= one["points"] <= every
    # what the figure shows has as much of Oja's rule as is to be seen
    assert both["at_least"] == {"oja": 3.16228e-5}
    assert both["thetas"]["oja"] >= 3.16228e-5
    assert both["best_accuracy"] >= both["accuracy"]


def test_a_search_goes_on_from_the_best_of_an_arm_with_fewer_rules(tmp_path, monkeypatch):
    def on_digits(name):
        """Two arms of whose own thetas none learns, and one of them is BP where Oja's is 0."""
        figure = read_figure(name)
        network = figure.networks["five layers"]
        bp, both = network.arms
        useless = {"grid": {"bp": "1e-12,2e-12", "oja": "1e-12,2e-12"}, "at_least": {}}
        both = both.model_copy(update=useless)
        other = {"label": "momentum", "transforms": ("momentum",)}
        network = network.model_copy(
            update={
                "options": {"sizes": [64, 12, 10]},
                "arms": (
                    bp.model_copy(update={"grid": {"bp": "1e-2:4e-2:3log"}}),
                    both,
                    both.model_copy(update=other),
                ),
            }
        )
        base = {**figure.base, "task": "digits-mlp"}
        changes = {"networks": {"five layers": network}, "base": base}
        return figure.model_copy(update=changes)

    monkeypatch.setattr("plastic_core.experiments.reproducing.reproduce.read_figure", on_digits)
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path), "--workers", "0"]
    command = ["reproduce", "fig1a", "--seeds", "2", "--samples", "300", *where, "--search"]
    assert execute(command) == 0
    bp, both, other = json.loads((tmp_path / "fig1a" / "claims.json").read_text())["search"]
    assert both["started_from"] == "BP"
    assert both["accuracy"] >= bp["accuracy"] > 0.3
    tried = {axis: parse_axis(f"{axis}={values}")[1] for axis, values in both["grown"].items()}
    assert bp["thetas"]["bp"] in tried["bp"]
    assert {0, 1e-12, 2e-12} <= {*tried["oja"]}
    # from there each axis was tried once more
    assert both["points"] >= 4 + 1 + len(tried["bp"]) - 1 + len(tried["oja"]) - 1
    # one that differs in more than its rules is no start
    assert "started_from" not in bp
    assert "started_from" not in other
    assert other["accuracy"] < 0.3


def test_settings_of_transforms_are_searched_and_added_to_a_record(noise, tmp_path, monkeypatch):
    def small(name):
        figure = read_figure(name)
        tried = {"momentum": {"bp": "1e-3,2e-3"}, "Adam": {"adam.rate": "1e-4,2e-4"}}
        tried["batch norm"] = {"bp": "0.1,0.2"}
        arms = [
            arm.model_copy(update={"grid": tried[arm.label]})
            for arm in figure.networks["5 layers"].arms
            if arm.label in tried
        ]
        network = figure.networks["5 layers"].model_copy(update={"arms": tuple(arms)})
        panel = figure.panels[0].model_copy(update={"arms": None})
        changes = {"networks": {"5 layers": network}, "claims": (), "panels": (panel,)}
        return figure.model_copy(update=changes)

    monkeypatch.setattr("plastic_core.experiments.reproducing.reproduce.read_figure", small)
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    file = tmp_path / "kept.json"
    earlier = [{"network": "5 layers", "arm": "Adam"}, {"network": "mine", "arm": "Adam"}]
    file.write_text(json.dumps(earlier))
    command = ["reproduce", "tricks", *SMALL, *where, "--search", "--record", str(file)]
    assert execute(command) == 0
    found = json.loads((tmp_path / "tricks" / "claims.json").read_text())
    adam, mine, momentum, batch_norm = json.loads(file.read_text())
    assert mine == earlier[1]
    assert found["search"] == [momentum, adam, batch_norm]
    _, tried = parse_axis(f"adam.rate={adam['grown']['adam.rate']}")
    assert adam["thetas"]["adam.rate"] in tried
    assert (adam["points"], adam["grid"]) == (len(tried), {"adam.rate": "1e-4,2e-4"})
    assert [arm["thetas"] for arm in found["networks"]["5 layers"]["arms"]] == [
        one["thetas"] for one in found["search"]
    ]
