"""Points of one's own, as the tests of this folder share them."""

import json

import numpy as np
from sklearn.datasets import load_wine

from plastic_core.cli import execute

WINE = load_wine(as_frame=True).frame.assign(
    target=lambda frame: np.array(["barolo", "grignolino", "barbera"])[frame["target"]]
)
SMALL = ["--seeds", "2", "--samples", "60", "--evaluations", "2"]
QUICK = {"seeds": 2, "samples": 60, "evaluations": 2}


def arrays():
    source = np.random.default_rng(0)
    x = source.random((80, 4))
    return x, (x[:, 0] > x[:, 1]).astype(int)


def split_of(points):
    """Return the training points and those held out, as `split_arrays` draws them."""
    order = np.random.default_rng(0).permutation(len(points))
    count = 2 * round(0.15 * len(points))
    return points[order[count:]], points[order[:count]]


def recorded(capsys, *command):
    """Return the JSON that a command prints."""
    assert execute([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)
