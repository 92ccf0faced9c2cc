"""What a file with data that is not what it should be must lead to, and how some are made."""

import numpy as np
import pandas as pd

from tests.processes import plastic

X = np.random.default_rng(0).random((40, 3))
Y = np.arange(40) % 2
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.where(Y, "up", "down")})
CSV = FRAME.to_csv(index=False)


def text(content):
    return lambda path: path.write_text(content)


def content(made):
    return lambda path: path.write_bytes(made)


NO_NUMBERS = (
    "a network takes numbers: write it as numbers, or leave the column out of the file; if it is "
    "what is to be predicted, name it by --target"
)
TOO_LARGE = (
    "that is more than 1,024 MB; write fewer points or smaller numbers (uint8, float32), or hand "
    "the arrays over in Python: run(spec, data=(X, y))"
)
KIND = ("--target", "kind")

# Bytes beyond those at the start of the command; a run of torch takes some of them.
MOST_MEMORY = 300 * 2**20

MEASURE = """
import atexit, pathlib, resource
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
atexit.register(lambda: pathlib.Path({file!r}).write_text(str(peak() - before)))
"""


def assert_refused(tmp_path, case):
    """Assert that a run on a file ends with one message, having run and written nothing.

    Args:
        tmp_path: an empty folder.
        case: what makes the file, its name, flags of the run, and how the message begins.
    """
    make, name, flags, message = case
    file, peak = tmp_path / "data" / name, tmp_path / "peak"
    file.parent.mkdir()
    make(file)
    out = tmp_path / "out"
    done = plastic(
        *("run", "--data", str(file), *flags, "--samples", "10", "--out", str(out)),
        first=f"import os; os.chdir({str(file.parent)!r})" + MEASURE.format(file=str(peak)),
    )
    assert done.stderr.startswith(f"plastic: {file}: {message}")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (2, "")
    assert not (file.parent / "written").exists()
    assert not out.exists()
    assert int(peak.read_text()) < MOST_MEMORY
