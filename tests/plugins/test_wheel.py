"""The wheel, installed into an environment without the source, does what the README shows."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.test_readme import BLOCKS

SMALL = ["--samples", "16", "--seeds", "1", "--evaluations", "1"]


@pytest.mark.slow
def test_the_wheel_runs_the_commands_of_the_readme(installed, tmp_path, small_mnist):
    def plastic(*arguments, **more):
        return installed.plastic(*map(str, arguments), cwd=tmp_path, fresh=True, **more).stdout

    where = "import plastic_core; print(plastic_core.__file__)"
    found = subprocess.run(
        [installed.python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(installed.site)

    lines = [text for _, block in BLOCKS for text in block.splitlines()]
    runs = [
        shlex.split(line, comments=True)[1:]
        for line in lines
        if line.startswith("plastic run") and not re.search("SOME-RUN|my-rule|wine", line)
    ]
    assert len(runs) >= 3
    for number, command in enumerate(runs):
        folder = tmp_path / f"run{number}"
        plastic(*command, *SMALL, "--data-dir", small_mnist, "--out", folder)
        # from C sources
        assert json.loads((folder / "run.json").read_text())["backend"] == "native"
    plastic("report", tmp_path / "run0", "--out", tmp_path / "page.html")
    assert "<img" in (tmp_path / "page.html").read_text()
    quick = ("--quick", "--data-dir", small_mnist, "--out", tmp_path / "figures")
    assert "written to" in plastic("reproduce", "fig1a", *quick)
    plastic("sweep", "--grid", "bp=0.01", *SMALL, "--sizes", "64,5,10", "--out", tmp_path / "sweep")
    plastic("new-rule", "my-rule")
    plastic("new-task", "my-task")
    assert "no faults in rule my-rule" in plastic("check", "plastic-my-rule", "--no-compiled")
    assert "sanger" in plastic("rules")
