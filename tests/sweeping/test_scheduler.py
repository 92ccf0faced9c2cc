"""A scheduler and a worker, daily as threads, else as the processes that a user with a cluster has."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.daily import slow
from tests.plugins.packages import build_wheel, rule_source, unpack
from tests.processes import HANGS, plastic, wait_until

SWEEP = [
    *("sweep", "--rule", "bp+mine", "--grid", "bp=0.01,0.1", "--seeds", "4", "--samples", "100"),
    *("--sizes", "64,20,10", "--evaluations", "1", "--block", "2", "--json"),
]


def site(folder, version):
    """Return a folder with a rule of a package in that version."""
    folder.mkdir()
    source = rule_source(body=f"return outer(s.post, s.pre) * {version}")
    points = {"plastic.rules": {"mine": "mine:Mine"}}
    unpack(build_wheel(folder, "plastic-mine", {"mine": source}, points, version), folder / "site")
    return folder / "site"


@contextlib.contextmanager
def in_this_process(path):
    """Give the address of a scheduler and a worker that are threads of this process."""
    from distributed import LocalCluster

    sys.path.insert(0, str(path))
    try:
        with LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
        ) as made:
            yield made.scheduler_address
    finally:
        sys.path.remove(str(path))


@contextlib.contextmanager
def in_processes(path):
    """Start a scheduler and a worker, which imports from `path`, and give the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    env = {**os.environ, "PYTHONPATH": str(path)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    started = [subprocess.Popen(scheduler, **quiet)]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
    started.append(subprocess.Popen(worker, **quiet))
    try:
        from distributed import Client

        def answers():
            with contextlib.suppress(OSError), Client(address, timeout="5s") as client:
                client.wait_for_workers(1, timeout=HANGS)
                return True

        wait_until(answers, started[0])
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=HANGS)


@pytest.mark.parametrize("cluster", [in_this_process, slow(in_processes)])
def test_a_running_cluster_trains_and_versions_that_differ_are_refused(tmp_path, cluster):
    ours, theirs = site(tmp_path / "ours", "1.0"), site(tmp_path / "theirs", "2.0")
    here = ("--store", str(tmp_path / "here"), "--out", str(tmp_path / "out-here"))
    alone = plastic(*SWEEP, "--workers", "0", *here, path=ours)
    assert alone.returncode == 0, alone.stderr
    store = ("--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"))
    with cluster(ours) as address:
        done = plastic(*SWEEP, "--scheduler", address, *store, path=ours)
        assert done.returncode == 0, done.stderr
        result, expected = json.loads(done.stdout), json.loads(alone.stdout)
        assert (result["trained"], result["failed"]) == (8, [])
        assert result["arms"] == expected["arms"]
        refused = plastic(*SWEEP, "--scheduler", address, *store, path=theirs)
    assert refused.returncode == 2
    lines = refused.stderr[refused.stderr.index("plastic: ") :].splitlines()
    assert lines[0] == "plastic: a worker has other versions than this process:"
    assert lines[1].startswith("  plastic-mine:mine: 1.0+")
    assert " on the worker, 2.0+" in lines[1]
    assert lines[2] == "  install the same on both, and start the workers again"


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_explained(tmp_path):
    store = ("--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"))
    command = ("sweep", "--rule", "bp", "--samples", "10", "--seeds", "1", "--scheduler")
    done = plastic(*command, "nonsense", *store)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "plastic: --scheduler nonsense: expected an address such as tcp://127.0.0.1:8786\n"
    )
    done = plastic(*command, "tcp://127.0.0.1:1", *store)
    assert done.returncode == 2
    assert "plastic: --scheduler tcp://127.0.0.1:1: cannot be reached: " in done.stderr
    assert done.stderr.endswith(
        "; start one by 'dask scheduler', and workers by 'dask worker ADDRESS'\n"
    )
    assert "Traceback" not in done.stderr
