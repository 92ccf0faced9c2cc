"""Figures of installed packages, by the command line: `plastic reproduce zoo/NAME`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from plastic_core import RunSpec, run
from plastic_core.cli import execute
from tests.figures.packaged import FIGURE, flags


def test_it_is_trained_judged_drawn_and_written(brought, tmp_path, capsys):
    brought({"claim.toml": FIGURE})
    assert execute(["reproduce", "zoo/claim", *flags(tmp_path)]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[:3] == [
        "The stranger's rule helps",
        "  published: 98.4% on MNIST - Stranger 2020, table 1",
        "  small, accuracy: BP, mine less BP:",
    ]
    folder = tmp_path / "out" / "zoo" / "claim"
    assert f"written to {folder}" in lines
    assert (folder / "claim.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "claim.png").stat().st_size > 10_000
    report = json.loads((folder / "claims.json").read_text())
    assert (report["figure"], report["small"]) == ("zoo/claim", False)
    assert report["command"] == "plastic reproduce zoo/claim"
    accuracy, norms, loss = report["claims"]
    assert (accuracy["published"], accuracy["source"]) == (
        "98.4% on MNIST",
        "Stranger 2020, table 1",
    )
    assert [one["layer"] for one in norms["verdicts"]] == [1, 2]
    base = {"task": "digits-mlp", "seeds": 3, "samples": 100, "evaluations": 2}
    base |= {"options": {"sizes": "64,12,10"}, "probes": ("weight-norm",)}
    bp = run(RunSpec(**base, rule="0.1*bp")).curves
    both = run(RunSpec(**base, rule="0.1*bp+1e-4*mine")).curves
    alone = run(RunSpec(**base, rule="mine", readout="knn")).curves
    (one,) = accuracy["verdicts"]
    assert one["difference"] == pytest.approx(float((both - bp)["accuracy"][:, -1].mean()))
    for layer, one in enumerate(norms["verdicts"]):
        expected = (both - bp)["weight_norm"].sel(step=50)[:, layer]
        assert one["difference"] == pytest.approx(float(expected.mean()), rel=1e-5)
    (one,) = loss["verdicts"]
    assert one["first"] == pytest.approx(float(np.mean(alone["loss"][:, -1])))
    assert execute(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "published: 98.4% on MNIST - Stranger 2020, table 1" in page


def test_a_small_version_and_a_search(brought, tmp_path, capsys):
    brought({"claim.toml": FIGURE})
    small = ["--quick", "--seeds", "2", "--samples", "40", "--search"]
    assert execute(["reproduce", "zoo/claim", *small, *flags(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/claim"]
    assert (
        report["command"] == "plastic reproduce zoo/claim --seeds 2 --samples 40 --quick --search"
    )
    assert report["small"] is True
    assert report["claims"][1]["verdicts"] == [
        {"verdict": "not judged", "why": "training ended before", "n": 0, "left_out": 0}
    ]
    searched = {choice["arm"]: choice for choice in report["search"]}
    assert {*searched} == {"BP", "BP, mine", "mine"}
    (network,) = report["networks"].values()
    for arm in network["arms"]:
        assert arm["thetas"] == searched[arm["label"]]["thetas"]
    assert searched["BP, mine"]["points"] >= 4


def test_no_panels_no_probes_and_the_thetas_of_another_network(brought, tmp_path, capsys):
    text = """
title = "Numbers"
base = { task = "sine-regression", seeds = 2, samples = 30, evaluations = 1 }

[networks.narrow]
options = { sizes = "8,6,3" }
arms = [{ label = "BP", rule = "0.01*bp" }, { label = "FA", rule = "0.01*fa" }]

[networks.wide]
options = { sizes = "8,9,3" }
thetas_of = "narrow"

[[claims]]
text = "Wide is better"
measure = "loss"
network = "wide"
against = "narrow"
arms = ["BP", "BP"]
direction = "below"
"""
    brought({"numbers.toml": text})
    assert execute(["reproduce", "zoo/numbers", *flags(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/numbers"]
    assert report["trained"] == 8
    assert (tmp_path / "out" / "zoo" / "numbers" / "numbers.png").stat().st_size > 10_000


def test_stages_and_a_readout(brought, tmp_path, capsys):
    arms = FIGURE[FIGURE.index("arms = [") :].split("]\n\n[[claims]]")[0]
    staged = """arms = [
    { label = "BP", rule = "bp", thetas = { bp = 0.1 } },
    { label = "BP, mine", base = { stages = ["0.01*mine: 40", "bp: 60"] }, thetas = { bp = 0.1 } },
    { label = "mine", rule = "mine", base = { readout = "knn" } },
"""
    brought({"claim.toml": FIGURE.replace(arms, staged)})
    search = ["--search", "--seeds", "2"]
    assert execute(["reproduce", "zoo/claim", *search, *flags(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/claim"]
    chosen = {choice["arm"]: choice["thetas"]["bp"] for choice in report["search"][:2]}
    stages = ["0.01*mine: 40", "bp: 60"]
    base = {"task": "digits-mlp", "seeds": 2, "evaluations": 2, "options": {"sizes": "64,12,10"}}
    theirs = {name: {"bp": {"theta": theta}} for name, theta in chosen.items()}
    both = run(RunSpec(**base, stages=stages, settings=theirs["BP, mine"])).curves
    bp = run(RunSpec(**base, rule="bp", samples=100, settings=theirs["BP"])).curves
    (one,) = report["claims"][0]["verdicts"]
    difference = both["accuracy"][:, -1] - bp["accuracy"][:, -1]
    assert one["difference"] == pytest.approx(float(difference.mean()))


def panel(text):
    return FIGURE.replace("[[claims]]", f"[[panels]]\n{text}\n\n[[claims]]", 1)


def test_panels_of_other_variables(brought, tmp_path):
    shown = [
        'kind = "course"\nvariable = "weight_norm"\nnetwork = "small"',
        'kind = "layers"\nvariable = "weight_norm"\nnetwork = "small"\narm = "BP"',
        'kind = "curves"\nvariable = "loss"\nnetwork = "small"',
    ]
    brought({"claim.toml": panel("\n\n[[panels]]\n".join(shown))})
    assert execute(["reproduce", "zoo/claim", "--quick", *flags(tmp_path)]) == 0
    assert (tmp_path / "out" / "zoo" / "claim" / "claim.png").stat().st_size > 20_000


OURS = "attention, conv, fig1a, fig1b, fig2, fig3, fig4, fig5, fig6, fig6gh, fig7, fig8, figS1, metagrid, tricks"


def test_a_name_that_is_not_there(brought, capsys):
    brought({"claim.toml": FIGURE})
    there = f"  there are {OURS}, zoo/claim; 'all' makes those of the paper but fig8, metagrid\n"
    assert execute(["reproduce", "zoo/clam"]) == 2
    expected = f"plastic: there is no figure 'zoo/clam'; did you mean 'zoo/claim'?\n{there}"
    assert capsys.readouterr().err == expected
    assert execute(["reproduce", "zoo"]) == 2
    assert capsys.readouterr().err == f"plastic: there is no figure 'zoo'\n{there}"
    assert execute(["reproduce", "zoo/../claim"]) == 2
    assert "there is no figure 'zoo/../claim'" in capsys.readouterr().err
    assert execute(["reproduce"]) == 2
    expected = f"plastic: reproduce: name a figure, such as fig1b, or several\n{there}"
    assert capsys.readouterr().err == expected


FAULTS = {
    "no TOML": (
        "title = \n",
        "{file}: is no TOML (TOMLDecodeError: Invalid value (at line 1, column 9))",
    ),
    "a misspelt field of an arm": (
        FIGURE.replace('rule = "mine"', 'rul = "mine"'),
        "{file}: networks.small: arms.2: rul = 'mine': there is no field 'rul'; did you mean 'rule'? The fields are ",
    ),
    "a field of the figure": (
        FIGURE.replace("[grid]", "[gird]"),
        "{file}: gird = {{'bp': '0.01,0.1', 'mine': '1e-4,1e-3'}}: there is no field 'gird'; did you mean 'grid'? "
        "The fields are base, claims, columns, grid, name, networks, panels, search_seeds, title",
    ),
    "a field of a claim": (
        FIGURE.replace('"below"', '"down"'),
        "{file}: claims.2: direction = 'down': accepted are 'above' or 'below'",
    ),
    "a field of the run": (
        FIGURE.replace("samples = 100", "sampels = 100"),
        "zoo/claim, small, BP: RunSpec: sampels = 100: there is no field 'sampels'; did you mean 'samples'? The fields are ",
    ),
    "a field of the arm's run": (
        FIGURE.replace("readout", "raedout"),
        "zoo/claim, small, mine: RunSpec: raedout = 'knn': there is no field 'raedout'; did you mean 'readout'? The fields are ",
    ),
    "no rule": (
        FIGURE.replace('rule = "mine",', ""),
        "zoo/claim, small, mine: rule: is required and missing",
    ),
    "a size of one arm": (
        FIGURE.replace('readout = "knn"', "seeds = 2"),
        "{file}: networks.small: arms.2: base: seeds of one arm alone would not be paired with the others; write it in the base of the figure",
    ),
    "a rule for all": (
        FIGURE.replace('task = "digits-mlp"', 'plugins = ["a.py"]'),
        "{file}: base: plugins cannot stand here: rule, options, transforms and batch_size are of the arms, and plugins are installed",
    ),
    "settings that are none": (
        FIGURE.replace("[grid]", "settings = { oja = 3 }\n\n[grid]"),
        "{file}: base: settings are tables by rule or probe, such as settings.oja",
    ),
    "a panel that says too little": (
        panel('kind = "layers"\nvariable = "weight_norm"\nnetwork = "small"'),
        "zoo/claim: the panel of weight_norm, small: kind 'layers' needs arm",
    ),
    "a panel of no profile": (
        panel('kind = "profile"\nvariable = "loss"\nnetwork = "small"'),
        "zoo/claim: the panel of loss, small: it has the dimensions seed, step, which are not those of kind 'profile'",
    ),
    "an unknown rule": (
        FIGURE.replace('rule = "mine"', 'rule = "mien"'),
        "zoo/claim, small, mine: there is no rule 'mien'; did you mean 'mine'?\n",
    ),
    "an unknown arm": (
        FIGURE.replace('arms = ["mine"]', 'arms = ["mein"]'),
        "{file}: claims.2: network 'small' has no arm 'mein'; did you mean 'mine'? Its arms are BP, BP, mine, mine",
    ),
    "an unknown network": (
        FIGURE.replace('network = "small"', 'network = "smal"'),
        "{file}: claims.0: there is no network 'smal'; did you mean 'small'? The networks are small",
    ),
    "two arms of one label": (
        FIGURE.replace('label = "BP, mine"', 'label = "BP"'),
        "{file}: networks.small: two arms have the same label: BP, BP, mine",
    ),
    "no network": (
        re.sub(r"\[networks.*?\]\n\n", "[networks]\n\n", FIGURE, flags=re.S),
        "{file}: networks: give at least one, each with at least one arm",
    ),
    "an unknown measure": (
        FIGURE.replace('"loss"', '"los"'),
        "zoo/claim: the claim 'Its loss is small': los: small, mine has no such measure; did you mean 'loss'?\n"
        "  it has accuracy, diverged_at, loss, orthonormality_gap, weight_norm; what a probe measures is there where base.probes names it",
    ),
    "a measure without layers": (
        FIGURE.replace('"weight_norm"', '"loss"'),
        "zoo/claim: the claim 'It makes weights grow, in each layer': loss has no layers; correct each_layer and layers",
    ),
    "a layer that is not there": (
        FIGURE.replace("each_layer = true", "each_layer = true\nlayers = [3]"),
        "zoo/claim: the claim 'It makes weights grow, in each layer': weight_norm has the layers 1, 2; correct each_layer and layers",
    ),
    "a panel of nothing": (
        panel('kind = "curves"\nvariable = "residual"\nnetwork = "small"'),
        "zoo/claim: the panel of residual, small: BP has no such variable\n"
        "  it has accuracy, diverged_at, loss, orthonormality_gap, weight_norm; what a probe measures is there where base.probes names it",
    ),
    "a panel of another kind": (
        panel('kind = "curves"\nvariable = "weight_norm"\nnetwork = "small"'),
        "zoo/claim: the panel of weight_norm, small: it has the dimensions layer, seed, step, which are not those of kind 'curves'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_at_fault_is_explained_before_anything_is_trained(brought, tmp_path, capsys, fault):
    text, message = FAULTS[fault]
    file = brought({"claim.toml": text, "sound.toml": FIGURE}) / "claim.toml"
    assert execute(["reproduce", "zoo/sound", "zoo/claim", *flags(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"plastic: {message.format(file=file)}"), said.err
    assert not said.out
    assert not (tmp_path / "store").exists()


def test_a_search_without_a_grid(brought, tmp_path, capsys):
    brought({"claim.toml": FIGURE.replace('mine = "1e-4,1e-3"\n', "")})
    assert execute(["reproduce", "zoo/claim", "--search", *flags(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "plastic: zoo/claim, small, BP, mine: --search has no grid for 'mine'; its figure needs "
        'one, such as grid.mine = "1e-4:1e-1:7log"\n'
    )


def test_a_package_that_cannot_be_imported_stops_no_other(brought, tmp_path, capsys, monkeypatch):
    brought({"claim.toml": FIGURE})
    code = "print('noise'); raise SystemExit(3)"
    brought({"claim.toml": FIGURE}, name="ill", code=code, distribution="plastic-ill")
    fault = (
        "the figures 'ill' of plastic-ill cannot be read: importing plastic_ill.figures raised "
        "SystemExit: 3; update or uninstall plastic-ill, or set PLASTIC_DISABLE=plastic-ill\n"
    )
    assert execute(["reproduce", "ill/claim"]) == 2
    said = capsys.readouterr()
    assert said.err.endswith(f"plastic: {fault}")
    assert not said.out
    assert execute(["reproduce", "zoo/x"]) == 2
    assert capsys.readouterr().err.endswith(f"but fig8, metagrid\n  {fault}")
    assert execute(["reproduce", "zoo/claim", "--quick", *flags(tmp_path)]) == 0
    capsys.readouterr()
    monkeypatch.setenv("PLASTIC_DISABLE", "plastic-ill")
    assert execute(["reproduce", "ill/claim"]) == 2
    assert "there is no figure 'ill/claim'" in capsys.readouterr().err


def test_a_module_holds_no_files_and_two_packages_one_name(brought, tmp_path, capsys):
    folder = brought({"claim.toml": FIGURE})
    (folder / "claim.toml").unlink()
    folder.rmdir()
    folder.with_suffix(".py").write_text("")
    assert execute(["reproduce", "zoo/claim"]) == 2
    assert capsys.readouterr().err == (
        "plastic: the figures 'zoo' of plastic-strange cannot be read: plastic_strange.figures is "
        "a module; let the entry point name the package, a folder, that holds TOML files\n"
    )
    brought({"claim.toml": FIGURE}, distribution="plastic-strange2")
    assert execute(["reproduce", "zoo/claim"]) == 2
    assert capsys.readouterr().err == (
        "plastic: the figures 'zoo' come from plastic-strange and from plastic-strange2; uninstall "
        "one, or set PLASTIC_DISABLE=plastic-strange\n"
    )


def test_the_package_is_checked_and_known_as_one_that_brings_something(brought, capsys):
    brought({"claim.toml": FIGURE})
    assert execute(["check", "plastic-strange"]) in (0, 1)
    said = capsys.readouterr()
    assert "there is no group" not in said.out + said.err


def test_the_example_of_the_documentation(brought, tmp_path, capsys):
    page = Path(__file__).parents[2] / "docs" / "howto" / "publish_a_claim.md"
    example, _ = re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
    assert len([line for line in example.splitlines() if line.strip()]) <= 25
    brought({"feedback.toml": example})
    small = ["--seeds", "2", "--samples", "40"]
    assert execute(["reproduce", "zoo/feedback", *small, *flags(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/feedback"]
    (claim,) = report["claims"]
    assert [one["n"] for one in claim["verdicts"]] == [2, 2]
