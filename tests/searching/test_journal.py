"""Journals that somebody or something damaged."""

import json
import shutil

import pytest

from plastic_core.cli import execute

SEARCH = [
    *("search", "--rule", "bp+oja", "--range", "bp=1e-3:1e-1log", "--seeds", "2"),
    *("--samples", "60", "--evaluations", "2", "--sizes", "64,12,10", "--json"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a search of three trials, with its store."""
    folder = tmp_path_factory.mktemp("search")
    assert search(folder, 3) == 0
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def search(folder, trials, *more):
    where = ["--out", str(folder / "out"), "--store", str(folder / "store")]
    return execute([*SEARCH, "--trials", str(trials), *where, *more])


def lines_of(folder):
    return (folder / "out" / "study.jsonl").read_text().splitlines()


def write(folder, lines):
    (folder / "out" / "study.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_blank_lines_are_passed_over(whole, copied, capsys):
    first, *rest = lines_of(copied)
    write(copied, ["", first, "  ", *rest, ""])
    assert search(copied, 4) == 0
    result = json.loads(capsys.readouterr().out)
    before = json.loads((whole / "out" / "search.json").read_text())
    assert result["table"][:3] == before["table"]
    assert result["trials"]["complete"] == 4


@pytest.mark.parametrize("damage", ['{"op_code":', "null", "[1]", '{"op_code":"4"}', "\0\0\0"])
def test_a_damaged_line_is_named(copied, capsys, damage):
    lines = lines_of(copied)
    write(copied, [*lines[:5], damage, *lines[5:]])
    assert search(copied, 3) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"plastic: {copied / 'out' / 'study.jsonl'}: line 6 is damaged; the same command with "
        "--repair takes it out and keeps the rest"
    )
    assert search(copied, 3, "--repair") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["notes"] == ["damaged lines of study.jsonl were taken out: 6"]
    assert (copied / "out" / "study.damaged").read_text() == damage
    assert search(copied, 3) == 0


def test_whichever_line_is_lost_the_search_comes_to_the_same_trials(whole, copied, capsys):
    lines = lines_of(copied)
    before = json.loads((whole / "out" / "search.json").read_text())
    accuracies = {row["accuracy"] for row in before["table"]}
    for lost in range(len(lines)):
        write(copied, [*lines[:lost], "damaged", *lines[lost + 1 :]])
        assert search(copied, 3, "--repair") == 0, lines[lost]
        result = json.loads(capsys.readouterr().out)
        # no accuracy goes with another point than its own
        own = {json.dumps(row["point"]): row["accuracy"] for row in before["table"]}
        for row in result["table"]:
            if row["outcome"] == "complete" and row["point"] and row["sample"] == 60:
                assert own[json.dumps(row["point"])] == row["accuracy"], lines[lost]
        assert result["best"]["chosen_by"] in accuracies, lines[lost]
