"""Runs that are killed, interrupted, or run out of disk: nothing lost, and the same numbers."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

RUN = [
    *(sys.executable, "-m", "plastic_core", "run", "--rule", "oja+bp", "--seeds", "2"),
    *("--samples", "40000", "--evaluations", "40", "--threads", "1", "--json"),
]


def run(folder, *more):
    return subprocess.run([*RUN, "--out", str(folder), *more], capture_output=True, text=True)


def test_twenty_kills_at_any_moment_end_with_the_same_numbers(tmp_path):
    begun = time.monotonic()
    whole = run(tmp_path / "whole")
    seconds = time.monotonic() - begun
    assert whole.returncode == 0, whole.stderr
    expected = xr.load_dataset(tmp_path / "whole" / "curves.nc", engine="h5netcdf")
    moments = random.Random(0)
    resumed = finished = 0
    for i in range(20):
        folder = tmp_path / str(i)
        # from before the first checkpoint to after the end
        moment = (i + moments.random()) / 20 * 1.2 * seconds
        process = subprocess.Popen(
            [*RUN, "--out", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moment)
        finished += process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = run(folder, "--resume")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["accuracy"] == json.loads(whole.stdout)["accuracy"]
        resumed += any(note.startswith("resumed at sample") for note in result["notes"])
        curves = xr.load_dataset(folder / "curves.nc", engine="h5netcdf")
        assert curves.identical(expected)
        assert not (folder / "checkpoint.safetensors").exists()
        shutil.rmtree(folder)
    assert resumed >= 3, "too few kills fell between a checkpoint and the end"
    assert finished >= 1


def test_an_interrupt_says_how_to_go_on_and_keeps_what_was_done(tmp_path):
    process = subprocess.Popen(
        [*RUN, "--samples", "4000000", "--evaluations", "400", "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
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


# In a namespace of its own, where a small file system can be mounted without rights.
FULL_DISK = """
import json, os, sys
from pathlib import Path
from plastic_core.cli import execute
disk = Path(sys.argv[1])
small = ["--samples", "100", "--seeds", "2", "--sizes", "64,10,10", "--threads", "1", "--evaluations", "2"]
where = ["--store", str(disk / "store")]
codes = [execute(["run", *small, *where, "--out", str(disk / "first")])]
left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
(disk / "filler").write_bytes(bytes(left - 8192))
more = ["--layers", "5", "--samples", "30000", "--seeds", "2", "--evaluations", "30", "--threads", "1"]
codes.append(execute(["run", *more, *where, "--out", str(disk / "second")]))
codes.append(execute(["sweep", "--rule", "bp", "--workers", "0", *small, "--grid", "bp=0.01:0.1:9",
                      *where, "--out", str(disk / "sweep")]))
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
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs unprivileged namespaces, to mount a small disk")
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", inner], input=FULL_DISK, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    codes, left_over = json.loads(done.stdout.splitlines()[-1])
    # first run; full disk twice; the store is sound; the first run is there; the second goes on
    assert codes == [0, 2, 2, 0, 0, 0], done.stderr
    assert left_over == []
    full = [line for line in done.stderr.splitlines() if "No space left on device" in line]
    assert len(full) == 2
    assert full[0].endswith(
        "No space left on device; free or allow it, or give another folder with --out"
    )
    assert "Traceback" not in done.stderr
