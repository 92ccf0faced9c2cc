"""``plastic reproduce`` killed in the middle: no finished network is trained again."""

import json
import signal

import pytest

from plastic_core import Store
from tests.processes import dies, plastic

SMALL = ["--seeds", "2", "--samples", "40", "--workers", "0", "--json"]


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(tmp_path, small_mnist):
    def reproduce(name, first=""):
        places = {"--store": tmp_path / f"{name} store", "--out": tmp_path / name}
        more = [str(part) for pair in places.items() for part in pair]
        data = ["--data-dir", str(small_mnist)]
        return plastic("reproduce", "fig1a", *SMALL, *more, *data, first=first)

    whole = reproduce("whole")
    assert whole.returncode == 0, whole.stderr
    reference = json.loads(whole.stdout)["fig1a"]
    assert (reference["trained"], reference["from_store"]) == (4, 0)

    killed = reproduce("killed", dies(r"^os\.rename .*/killed store/", 3))
    assert killed.returncode == -signal.SIGKILL
    assert len(list(Store(tmp_path / "killed store").files())) == 2

    again = reproduce("killed")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)["fig1a"]
    assert (report["trained"], report["from_store"]) == (2, 2)
    assert report["claims"] == reference["claims"]
