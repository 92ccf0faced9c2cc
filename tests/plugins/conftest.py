"""Fixtures shared by the tests of plugins."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.test_install import Environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    environment = Environment(tmp_path_factory.mktemp("installed"))
    quietly = ("--no-index", "--no-deps", "--no-warn-conflicts", "--force-reinstall")
    target = ("--target", environment.site)
    environment("pip", "install", *quietly, *target, wheel, cwd=wheel.parent, fresh=True)
    return environment
