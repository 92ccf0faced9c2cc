"""``plastic reproduce`` killed in the middle: no finished network is trained again."""

import json
import signal
import subprocess
import sys
import time

from plastic_core import Store

COMMAND = [sys.executable, "-c", "from plastic_core.cli import main; main()", "reproduce", "fig1a"]
COMMAND += ["--seeds", "4", "--samples", "40", "--workers", "0", "--json"]


def test_what_is_finished_is_not_trained_again(tmp_path, small_mnist):
    def command(name):
        places = {"--store": tmp_path / f"{name} store", "--out": tmp_path / name}
        more = [str(part) for pair in places.items() for part in pair]
        return [*COMMAND, *more, "--data-dir", str(small_mnist)]

    whole = subprocess.run(command("whole"), check=True, capture_output=True, text=True)
    reference = json.loads(whole.stdout)["fig1a"]
    assert (reference["trained"], reference["from_store"]) == (8, 0)

    store = Store(tmp_path / "killed store")
    process = subprocess.Popen(
        command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not finished(store):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    there = finished(store)
    assert there > 0

    again = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    report = json.loads(again.stdout)["fig1a"]
    assert report["from_store"] == there
    assert report["trained"] == 8 - there
    assert report["claims"] == reference["claims"]


def finished(store):
    """Return how many networks the store holds."""
    return sum(not file.name.startswith(".") for file in store.folder.rglob("*.json"))
