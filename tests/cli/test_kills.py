"""Runs that are killed, interrupted, or run out of disk: nothing lost, and the same numbers."""

import json
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

RUN = ["run", "--rule", "oja+bp", "--seeds", "2", "--samples", "10000", "--evaluations", "40"]
RUN += ["--threads", "1", "--json"]

# One process loads everything and forks, for each kill and each resumed run: the same command
# without two seconds of imports. What it forks from has trained nothing, so it has no threads.
KILLS = """
import json, os, random, signal, sys, time
from pathlib import Path
import netCDF4, plastic_core.figures, plastic_core.run, sklearn.datasets, xarray
from plastic_core.cli import execute

out, arguments = Path(sys.argv[1]), sys.argv[2:]

def begin(name, *more):
    child = os.fork()
    if child == 0:
        (out / "printed").mkdir(exist_ok=True)
        sys.stdout = open(out / "printed" / name, "w")
        code = execute([*arguments, "--out", str(out / name), *more])
        sys.stdout.flush()
        os._exit(code)
    return child

begun = time.monotonic()
codes = [os.waitpid(begin("whole"), 0)[1]]
seconds = time.monotonic() - begun
moments = random.Random(0)
for i in range(20):
    child = begin(str(i))
    # from before the first checkpoint to after the end
    time.sleep((i + moments.random()) / 20 * 1.2 * seconds)
    os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    codes.append(os.waitpid(begin(str(i), "--resume"), 0)[1])
    print("killed" if ended == signal.SIGKILL else "ended", flush=True)
print(json.dumps(codes))
"""


def test_twenty_kills_at_any_moment_end_with_the_same_numbers(tmp_path):
    driver = [sys.executable, "-c", KILLS, str(tmp_path), *RUN]
    done = subprocess.run(driver, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *ends, codes = done.stdout.splitlines()
    assert json.loads(codes) == [0] * 21, done.stderr
    assert ends.count("ended") >= 1
    assert ends.count("killed") >= 10
    results = {file.name: json.loads(file.read_text()) for file in (tmp_path / "printed").iterdir()}
    whole = results.pop("whole")
    expected = xr.load_dataset(tmp_path / "whole" / "curves.nc")
    assert len(results) == 20
    for name, result in results.items():
        assert result["accuracy"] == whole["accuracy"]
        curves = xr.load_dataset(tmp_path / name / "curves.nc")
        assert curves.identical(expected)
        assert not (tmp_path / name / "checkpoint.safetensors").exists()
    notes = [" ".join(result["notes"]) for result in results.values()]
    assert sum("resumed at sample" in note for note in notes) >= 3


def test_an_interrupt_says_how_to_go_on_and_keeps_what_was_done(tmp_path):
    long = ["run", "--seeds", "2", "--samples", "4000000", "--evaluations", "400"]
    process = subprocess.Popen(
        [sys.executable, "-m", "plastic_core", *long, "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "plastic: interrupted; 'plastic run --resume --out DIR' continues a run, and a sweep goes on "
        "when the same command is given again"
    )
    assert "Traceback" not in err
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


# A thread of the native backend that outlives its caller must not use memory that is gone.
INTERRUPTS = """
import os, random, signal, threading
from plastic_core import RunSpec, run

spec = RunSpec(seeds=2, samples=200_000, evaluations=400, options={"sizes": [64, 30, 10]})
run(spec.model_copy(update={"samples": 10, "evaluations": 1}))  # an interrupted import cannot be repeated
moments = random.Random(0)
interrupted = 0
for _ in range(40):
    threading.Timer(0.02 + 0.15 * moments.random(), os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        run(spec)
    except KeyboardInterrupt:
        interrupted += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(interrupted)
"""


def test_forty_interrupts_at_any_moment_crash_nothing():
    done = subprocess.run([sys.executable, "-c", INTERRUPTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Python drops an interrupt that falls into a destructor
    assert int(done.stdout) >= 30


# In a namespace of its own, where a small file system can be mounted without rights.
FULL_DISK = """
import json, os, sys
from pathlib import Path
from plastic_core.cli import execute
disk = Path(sys.argv[1])
small = ["--samples", "100", "--seeds", "2", "--sizes", "64,10,10", "--evaluations", "2"]
where = ["--store", str(disk / "store")]
codes = [execute(["run", *small, *where, "--out", str(disk / "first")])]
left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
(disk / "filler").write_bytes(bytes(left - 8192))
more = ["--layers", "5", "--samples", "30000", "--seeds", "2", "--evaluations", "30", "--threads", "1"]
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
