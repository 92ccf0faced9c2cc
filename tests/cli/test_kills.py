"""Runs that are killed, interrupted, or run out of disk: nothing lost, and the same numbers."""

import itertools
import json
import re
import signal
import subprocess
import sys

import pytest
import xarray as xr

from tests.daily import slow
from tests.processes import CHECKPOINTS, dies, plastic, start, wait_until

RUN = ["run", "--rule", "oja+bp", "--seeds", "2", "--samples", "400", "--evaluations", "8"]
RUN += ["--threads", "1", "--json"]


@pytest.mark.parametrize("every", [12, slow(1)])
def test_kills_at_any_touch_of_the_folder_end_with_the_same_numbers(tmp_path, every):
    def train(name, *more, first=""):
        return plastic(*RUN, "--out", str(tmp_path / name), *more, first=CHECKPOINTS + first)

    whole = json.loads(train("whole").stdout)
    expected = xr.load_dataset(tmp_path / "whole" / "curves.nc")
    notes = []
    for touch in itertools.count(1, every):
        name = f"killed-{touch}"
        # every file that is opened, renamed or removed there, the folder itself included
        killed = train(name, first=dies(f"^(open|os).*/{name}", touch))
        resumed = train(name, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        result = json.loads(resumed.stdout)
        assert result["accuracy"] == whole["accuracy"]
        assert xr.load_dataset(tmp_path / name / "curves.nc").identical(expected)
        assert not (tmp_path / name / "checkpoint.safetensors").exists()
        assert (tmp_path / name / "learning_curve.png").exists()
        if killed.returncode == 0:  # it got to its end
            assert result == json.loads(killed.stdout)
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        notes.append(" ".join(result["notes"]))
    assert len(notes) >= 40 // every
    found = set(map(int, re.findall(r"resumed at sample (\d+)", " ".join(notes))))
    assert found == set(range(50, 400, 50)) if every == 1 else len(found) >= 2
    assert "resumed" not in notes[0], "it was killed before its first checkpoint"


def test_an_interrupt_says_how_to_go_on_and_keeps_what_was_done(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    long = ["run", "--seeds", "2", "--samples", "4000000", "--evaluations", "400"]
    process = start(*long, "--out", str(tmp_path / "run"))
    wait_until(checkpoint.exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "plastic: interrupted; 'plastic run --resume --out DIR' continues a run, and a sweep goes on "
        "when the same command is given again"
    )
    assert "Traceback" not in err
    assert checkpoint.exists()


# Sends an interrupt at a call of a Python function: at which one does not depend on how fast it
# is. Half of them are calls of other threads, which train while the main one waits: such a thread
# of the native backend may outlive its caller, and must not use memory that is gone.
INTERRUPTS = """
import itertools, os, random, signal, sys, threading
from plastic_core import RunSpec, run

samples = 40_000 if int(sys.argv[1]) == 40 else 20_000
spec = RunSpec(seeds=2, samples=samples, evaluations=20, options={"sizes": [64, 30, 10]})
run(spec.model_copy(update={"samples": 10, "evaluations": 1}))  # an interrupted import cannot be repeated
main = threading.get_ident()
chosen = None

def look(frame, event, argument):
    if event == "call":
        others = threading.get_ident() != main
        if (others, next(calls[others])) == chosen:
            os.kill(os.getpid(), signal.SIGINT)

def watched():
    global calls
    calls = {False: itertools.count(), True: itertools.count()}
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        run(spec)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False

watched()
total = {others: next(counter) for others, counter in calls.items()}
moments, interrupted = random.Random(0), 0
for number in range(int(sys.argv[1])):
    others = number % 2 == 1
    chosen = others, moments.randrange(total[others] // 2)
    interrupted += watched()
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(interrupted)
"""


@pytest.mark.parametrize("count", [5, slow(40)])
def test_interrupts_at_any_moment_crash_nothing(count):
    command = [sys.executable, "-c", INTERRUPTS, str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Python drops an interrupt that falls into a destructor
    assert int(done.stdout) >= 3 * count // 4


# In a namespace of its own, where a small file system can be mounted without rights.
FULL_DISK = """
import json, os, sys
from pathlib import Path
from plastic_core.results import result_folder
from plastic_core.cli import execute
result_folder._FIRST_CHECKPOINT = 0.0
disk = Path(sys.argv[1])
small = ["--samples", "100", "--seeds", "2", "--sizes", "64,10,10", "--evaluations", "2"]
where = ["--store", str(disk / "store")]
codes = [execute(["run", *small, *where, "--out", str(disk / "first")])]
left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
(disk / "filler").write_bytes(bytes(left - 8192))
more = ["--layers", "5", "--samples", "300", "--seeds", "2", "--evaluations", "30", "--threads", "1"]
codes.append(execute(["run", *more, *where, "--out", str(disk / "second")]))
codes.append(execute(["sweep", "--rule", "bp", "--workers", "0", *small, "--grid", "bp=0.01:0.1:9",
                      *where, "--out", str(disk / "sweep")]))
once = ["--evaluations", "1", "--store", str(disk.parent / "store"), "--out", str(disk / "third")]
os.truncate(disk / "filler", left - 8192 - 32768)  # room for a record
codes.append(execute(["run", *small[:-2], *once]))
codes.append(execute(["store", "verify", *where]))
codes.append(execute(["run", *small, *where, "--out", str(disk / "first"), "--resume"]))
left_over = [str(p.relative_to(disk)) for p in disk.rglob(".*")]
(disk / "filler").unlink()
codes.append(execute(["run", *more, *where, "--out", str(disk / "second"), "--resume"]))
print(json.dumps([codes, left_over]))
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_loses_nothing_that_was_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    inner = f"mount -t tmpfs -o size=3m none {disk} && exec {sys.executable} - {disk}"
    # as root, or else as the root of a user namespace
    namespaces = (["unshare", "-m"], ["unshare", "-Urm"])
    usable = [
        n for n in namespaces if not subprocess.run([*n, "true"], capture_output=True).returncode
    ]
    if not usable:
        pytest.skip("needs root or user namespaces, to mount a small disk")
    done = subprocess.run(
        [*usable[0], "sh", "-c", inner], input=FULL_DISK, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    codes, left_over = json.loads(done.stdout.splitlines()[-1])
    # the first run; full disk three times; the store is sound; the first is there; the second goes on
    assert codes == [0, 2, 2, 2, 0, 0, 0], done.stderr
    assert left_over == []
    full = [line for line in done.stderr.splitlines() if "No space left on device" in line]
    assert len(full) == 3
    assert full[0] == (
        f"plastic: {disk}/second/checkpoint.safetensors: cannot be written: I/O error: No space left "
        "on device (os error 28); free or allow it, or give another folder with --out"
    )
    assert full[1].startswith(f"plastic: {disk}/store/")
    assert full[1].endswith(
        ": cannot be written: No space left on device; free or allow it, or give another folder with "
        "--store or PLASTIC_STORE"
    )
    assert full[2] == (
        f"plastic: {disk}/third/curves.nc: cannot be written: No space left on device; free or allow "
        "it, or give another folder with --out"
    )
    assert "Traceback" not in done.stderr
