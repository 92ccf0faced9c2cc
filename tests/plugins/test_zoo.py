"""The zoo, a package like a stranger's: its own tests, without those that compile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "docs" / "examples" / "plastic-zoo"


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
