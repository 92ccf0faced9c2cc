"""Workers that cannot start, or cannot import what they need: one message, and no endless wait."""

import pytest

from tests.daily import slow
from tests.processes import plastic

SMALL = ("sweep", "--rule", "bp", "--seeds", "1", "--samples", "10", "--workers", "1")

# Python reads it when it starts; the processes of the pool alone are broken.
BREAK = """
import os, sys
if "multiprocessing.spawn" in " ".join(sys.orig_argv):
    {how}
"""

# distributed is needed to start at all, torch only to train
CASES = {
    "they cannot start": (
        "sys.modules['distributed'] = None",
        "the worker processes do not start: what they say stands above",
    ),
    "they cannot import torch": (
        "sys.modules['torch'] = None",
        "the workers cannot import plastic_core.experiments.sweeping.packing: "
        "ModuleNotFoundError: import of torch halted; None in sys.modules",
    ),
}


@pytest.mark.parametrize("case", [slow("they cannot start"), "they cannot import torch"])
def test_broken_workers(case, tmp_path):
    how, reason = CASES[case]
    (tmp_path / "sitecustomize.py").write_text(BREAK.format(how=how))
    where = ("--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"))
    done = plastic(*SMALL, *where, path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        f"plastic: {reason}; mend it, or train in this process by --workers 0"
    )
    assert "plastic_core/cli" not in done.stderr, "a traceback of the command itself"
    # where it is said to go, it goes
    assert plastic(*SMALL[:-1], "0", *where).returncode == 0
