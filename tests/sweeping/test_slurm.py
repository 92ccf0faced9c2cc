"""Workers as jobs of SLURM, which is faked by a script that runs the job on this machine."""

import json
import os
import signal
import sys
from importlib import import_module

import dask
import psutil
import pytest

from plastic_core import PlasticError, Progress
from plastic_core.cli import execute
from plastic_core.cli.live import sweep_line
from plastic_core.experiments.sweeping.slurm import open_cluster, parse_options
from tests.processes import wait_until

SBATCH = """#!/bin/sh
if [ "$1" = --test-only ]; then
    grep -q -- "-p nowhere" "$2" || exit 0
    echo "sbatch: error: invalid partition specified: nowhere" >&2
    exit 1
fi
cp "$1" "{folder}/job.$$"
setsid sh "{folder}/job.$$" > /dev/null 2>&1 &
echo $! >> "{folder}/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM "-$1"
"""
SWEEP = [
    *("sweep", "--rule", "bp", "--grid", "bp=0.01,0.1", "--seeds", "4", "--samples", "100"),
    *("--sizes", "64,20,10", "--evaluations", "1", "--block", "2"),
]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put commands that behave like SLURM's on the PATH, and return their folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_jobs_train_a_sweep_and_are_gone_at_its_end(tmp_path, capsys, slurm):
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--json"]
    options = "queue=short,walltime=00:10:00,host=127.0.0.1"
    before = signal.getsignal(signal.SIGINT)
    assert execute([*SWEEP, *where, "--workers", "1", "--slurm", options]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capsys.readouterr()
    assert err == "8 networks, 0 of them in the store\n"
    result = json.loads(out)
    assert (result["cells"], result["trained"], result["failed"]) == (8, 8, [])
    jobs = [int(line) for line in (slurm / "jobs").read_text().split()]
    assert len(jobs) == 1

    def gone(job):
        return not psutil.pid_exists(job) or psutil.Process(job).status() == psutil.STATUS_ZOMBIE

    wait_until(lambda: all(map(gone, jobs)))


# Whoever trains once something is stored waits for a second job.
WAITING = """
import glob, time
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer

while glob.glob("{store}/*/*.json") and open("{jobs}").read().count("\\n") == 1:
    time.sleep(0.05)


class Mine(Rule):
    spec = RuleSpec(
        name="mine", summary="waits", equation="0", reference="none", modifies="forward",
        reads={{"post", "pre"}}, theta=Theta(default=1e-4),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre)
"""


@pytest.mark.slow
def test_jobs_that_end_by_walltime_are_begun_anew(tmp_path, capsys, slurm):
    store, jobs, plugin = tmp_path / "store", slurm / "jobs", tmp_path / "mine.py"
    plugin.write_text(WAITING.format(store=store, jobs=jobs))
    # the first job is killed as soon as the store holds something
    killer = f"""job=$!
[ "$(wc -l < "{jobs}")" != 1 ] || \\
    (until ls {store}/*/*.json; do sleep 0.05; done; kill -9 "-$job") > /dev/null 2>&1 &
echo "Submitted batch job $job"
"""
    sbatch = (slurm / "sbatch").read_text()
    (slurm / "sbatch").write_text(sbatch.replace('echo "Submitted batch job $!"\n', killer))
    where = ["--store", str(store), "--out", str(tmp_path / "out"), "--json", "--block", "1"]
    rule = ["--rule", "bp+mine", "--plugin", str(plugin), *SWEEP[3:-2]]
    options = "queue=short,walltime=00:10:00,host=127.0.0.1"
    import_module("distributed")  # else its settings would go with the one that is set here
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "100ms"}):
        assert execute(["sweep", *rule, *where, "--workers", "1", "--slurm", options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["trained"], result["failed"]) == (8, [])
    assert len(jobs.read_text().split()) == 2


def test_a_sweep_without_workers_says_so():
    progress = Progress(total=8, alone=301.0)
    assert sweep_line(progress) == (
        "0 of 8 networks, 0 running, 0 failed, 0 diverged, no worker for 0:05:01: see whether its "
        "jobs wait or fail"
    )
    assert "no worker" not in sweep_line(Progress(total=8, alone=299.0))


def test_the_job_script_holds_what_was_asked(slurm):
    options = (
        "queue=long,account=lab,walltime=01:30:00,cores=3,memory=12GB,job_name=plastic,"
        "job_extra_directives=--qos=low,job_extra_directives=--nice,"
        "job_script_prologue=module load python,host=127.0.0.1"
    )
    with open_cluster(options, 0) as cluster:
        lines = cluster.job_script().splitlines()
    assert lines[2:-1] == [
        "#SBATCH -J plastic",
        "#SBATCH -p long",
        "#SBATCH -A lab",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --mem=12G",
        "#SBATCH -t 01:30:00",
        "#SBATCH --qos=low",
        "#SBATCH --nice",
        "module load python",
    ]
    assert lines[-1].startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://127.0.0.1:")
    assert "--nthreads 1 " in lines[-1]
    assert "--nworkers 3 " in lines[-1]


BAD = {
    "queue": "expected NAME=VALUE,..., such as queue=short,walltime=01:00:00,memory=4GB",
    "queue=": "expected NAME=VALUE,..., such as queue=short,walltime=01:00:00,memory=4GB",
    "queue=a,queue=b": "queue is given twice",
    "cores=0": "cores = 0: expected a number above 0",
    "cores=many": "cores = many: expected a number above 0",
    "queu=short": (
        "there is no option 'queu'; did you mean 'queue'?\n  accepted are account, cores, "
        "death_timeout, host, interface, job_cpu, job_extra_directives, job_mem, job_name, "
        "job_script_prologue, local_directory, log_directory, memory, processes, python, queue, shebang, "
        "walltime, worker_extra_args"
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_options_are_explained(text):
    with pytest.raises(PlasticError) as caught:
        parse_options(text)
    assert str(caught.value) == f"--slurm {text}: {BAD[text]}"


def sweep(tmp_path, capsys, *more):
    code = execute([*SWEEP, "--store", str(tmp_path / "s"), "--out", str(tmp_path / "o"), *more])
    assert code == 2
    return capsys.readouterr().err.removeprefix("8 networks, 0 of them in the store\n")


def test_a_job_that_slurm_refuses_is_explained(tmp_path, capsys, slurm):
    options = "queue=nowhere,host=127.0.0.1"
    assert sweep(tmp_path, capsys, "--workers", "2", "--slurm", options) == (
        "plastic: --slurm queue=nowhere,host=127.0.0.1: SLURM refuses the job: sbatch: error: invalid "
        "partition specified: nowhere\n"
    )


def test_a_bad_size_of_memory_is_explained(tmp_path, capsys, slurm):
    assert sweep(tmp_path, capsys, "--workers", "2", "--slurm", "memory=much") == (
        "plastic: --slurm memory=much: Could not interpret 'much' as a byte unit\n"
    )


def test_what_is_missing_is_named(tmp_path, capsys, monkeypatch):
    assert sweep(tmp_path, capsys, "--slurm", "queue=short") == (
        "plastic: --slurm needs --workers N, the number of workers to ask for\n"
    )
    both = ("--scheduler", "tcp://127.0.0.1:8786", "--workers", "2", "--slurm", "queue=short")
    assert sweep(tmp_path, capsys, *both) == "plastic: --slurm and --scheduler: give one of them\n"
    monkeypatch.setenv("PATH", "")
    assert sweep(tmp_path, capsys, "--workers", "2", "--slurm", "queue=short") == (
        "plastic: --slurm: there is no sbatch here; sweep on a machine that submits jobs\n"
    )
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    assert sweep(tmp_path, capsys, "--workers", "2", "--slurm", "queue=short") == (
        "plastic: --slurm needs dask-jobqueue: pip install 'plastic-learning[slurm]'\n"
    )
