"""What the README shows works as it is written there."""

import re
import shlex
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_wine

from plastic_core.cli import execute
from plastic_core.plugins.catalogue import Catalogue

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def test_the_rule_in_ten_lines_trains(tmp_path, capsys):
    source = next(text for kind, text in BLOCKS if kind == "python" and "class Centred" in text)
    file = tmp_path / "centred.py"
    file.write_text(source)
    command = [
        "run",
        "--plugin",
        str(file),
        "--rule",
        "bp+centred",
        "--samples",
        "100",
        "--seeds",
        "2",
    ]
    assert execute([*command, "--out", str(tmp_path / "run")]) == 0
    assert "bp+centred" in capsys.readouterr().out


def test_the_commands_are_understood(tmp_path, capsys, small_mnist):
    lines = [
        line for _, text in BLOCKS for line in text.splitlines() if line.startswith("plastic run")
    ]
    commands = [
        shlex.split(line, comments=True)[1:]
        for line in lines
        if not re.search("SOME-RUN|my-rule|wine", line)
    ]
    assert len(commands) >= 3
    for i, command in enumerate(commands):
        small = ["--samples", "16", "--seeds", "1", "--evaluations", "1"]
        out = ["--data-dir", str(small_mnist), "--out", str(tmp_path / str(i))]
        assert execute([*command, *small, *out]) == 0, capsys.readouterr().err


def test_from_a_table_of_ones_own_to_predictions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = load_wine(as_frame=True)
    table = found.data.assign(cultivar=found.target_names[found.target])
    table.to_csv("wine.csv", index=False)
    table.iloc[::2].to_csv("more.csv", index=False)
    table.drop(columns="cultivar").to_csv("new.csv", index=False)
    story = next(text for _, text in BLOCKS if "plastic predict" in text)
    for line in story.splitlines():
        assert execute(shlex.split(line, comments=True)[1:]) == 0, capsys.readouterr().err
    found = pd.read_csv("runs/wine/predictions.csv")["prediction"]
    assert (found == table["cultivar"]).mean() > 0.97


def test_the_tables_list_all_rules_and_tasks():
    for kind in ("rule", "task", "transform"):
        for entry in Catalogue().entries(kind):
            if entry.distribution == "plastic-learning":
                assert f"`{entry.name}`" in README or f"--transform {entry.name}`" in README
