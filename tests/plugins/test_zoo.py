"""The zoo, a package like a stranger's: its own tests, without those that compile; installed anew."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "docs" / "examples" / "plastic-zoo"

# names of its plugins, by kind
PLUGINS = {
    kind: set(tomllib.loads((ZOO / "pyproject.toml").read_text())["project"]["entry-points"][group])
    for kind, group in (("rule", "plastic.rules"), ("transform", "plastic.transforms"))
}
NAMES = PLUGINS["rule"] | PLUGINS["transform"]


def test_all_28_are_told_of():
    """In the package's own table, and in the record that its pages are made from."""
    assert (len(PLUGINS["rule"]), len(PLUGINS["transform"])) == (25, 3)
    assert set(re.findall(r"^\| `(.+?)` \|", (ZOO / "README.md").read_text(), re.M)) == NAMES
    record = json.loads((ROOT / "docs" / "zoo" / "record.json").read_text())
    assert record.keys() == NAMES
    assert {one["kit"] for one in record.values()} == {"passes"}


@pytest.mark.slow
def test_the_zoo_passes_its_tests():
    path = os.pathsep.join([str(ROOT), str(ZOO), os.environ.get("PYTHONPATH", "")])
    command = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "not compiled"]
    done = subprocess.run(
        [sys.executable, *command, str(ZOO / "tests")],
        env={**os.environ, "PYTHONPATH": path},
        cwd=ZOO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.slow
def test_the_zoo_is_installed_from_its_folder(installed, tmp_path):
    """Into an environment that has plastic as it was built."""

    def plastic(*arguments):
        return installed.plastic(*arguments, cwd=tmp_path, fresh=True).stdout

    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(ZOO, tmp_path / "plastic-zoo", ignore=ignored)
    # to where plastic is, for pip would find its dependencies elsewhere
    quietly = ("--quiet", "--no-deps", "--target", installed.site)
    installed("pip", "install", *quietly, "./plastic-zoo", cwd=tmp_path)
    found = json.loads(plastic("plugins", "--json"))
    for kind, names in PLUGINS.items():
        ours = {
            e["name"] for e in found if e["distribution"] == "plastic-zoo" and e["kind"] == kind
        }
        assert ours == names
    listed = plastic("rules")
    assert all(re.search(rf"^{name} ", listed, re.M) for name in PLUGINS["rule"])

    small = ("--task", "digits-mlp", "--net", "dense 20", "--samples", "300", "--seeds", "2")
    for number, (rule, *more) in enumerate(
        [
            ("0.02*local-loss", "--activation", "tanh"),
            ("0.02*pes", "--activation", "tanh"),
            ("0.05*bp", "--transform", "rewiring"),
        ]
    ):
        folder = tmp_path / f"run{number}"
        plastic("run", "--rule", rule, *small, *more, "--out", str(folder))
        result = json.loads((folder / "run.json").read_text())
        assert result["state"] == "finished"
        assert any(plugin.startswith("plastic-zoo:") for plugin in result["plugins"])


def test_bcm_is_that_of_the_package_to_be_copied():
    copy = ZOO.parent / "plastic-bcm" / "plastic_bcm" / "bcm.py"
    assert (ZOO / "plastic_zoo" / "bcm.py").read_text() == copy.read_text()
