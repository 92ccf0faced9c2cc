"""Workers as jobs of SLURM, through dask-jobqueue: ``queue=short,walltime=01:00:00``."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import tempfile
from typing import Any, Final

from plastic_core.base.errors import PlasticError, did_you_mean, listing

_NUMBERS: Final = {"cores", "processes", "job_cpu"}
_LISTS: Final = {"job_extra_directives", "job_script_prologue", "worker_extra_args"}
_TEXTS: Final = {
    *("account", "death_timeout", "host", "interface", "job_mem", "job_name", "local_directory"),
    *("log_directory", "memory", "python", "queue", "shebang", "walltime"),
}


def parse_options(text: str) -> dict[str, Any]:
    """Return the options of SLURMCluster; one that is a list is given once for each part.

    >>> parse_options("queue=short,cores=2,job_extra_directives=--qos=low")
    {'queue': 'short', 'cores': 2, 'job_extra_directives': ['--qos=low']}

    Raises:
        PlasticError: an option is malformed, unknown, or given twice.
    """
    options: dict[str, Any] = {}
    for part in text.split(",") if text else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise PlasticError(
                f"--slurm {text}: expected NAME=VALUE,..., such as "
                "queue=short,walltime=01:00:00,memory=4GB"
            )
        if name in _LISTS:
            options.setdefault(name, []).append(value)
            continue
        known = _NUMBERS | _LISTS | _TEXTS
        if name not in known:
            raise PlasticError(
                f"--slurm {text}: there is no option '{name}'{did_you_mean(name, known)}\n"
                f"  accepted are {listing(known)}"
            )
        if name in options:
            raise PlasticError(f"--slurm {text}: {name} is given twice")
        if name in _NUMBERS and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise PlasticError(f"--slurm {text}: {name} = {value}: expected a number above 0")
        options[name] = int(value) if name in _NUMBERS else value
    return options


def open_cluster(text: str, workers: int) -> Any:
    """Return a cluster that has asked for that many workers, one thread each.

    Raises:
        PlasticError: dask-jobqueue or SLURM is not there, an option is not accepted, or SLURM
            refuses the jobs.
    """
    options = parse_options(text)
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise PlasticError("--slurm needs dask-jobqueue: pip install 'plastic-learning[slurm]'")
    if shutil.which("sbatch") is None:
        raise PlasticError("--slurm: there is no sbatch here; sweep on a machine that submits jobs")
    handler = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.slurm import SLURMCluster

    # the import lets SIGINT end the process without a word
    signal.signal(signal.SIGINT, handler)
    processes = options.get("processes", options.get("cores", 1))
    defaults = {"cores": processes, "processes": processes, "memory": f"{4 * processes}GB"}
    scheduler: dict[str, Any] = {"dashboard": False, "dashboard_address": ":0"}
    if "host" in options:
        scheduler["host"] = options.pop("host")
    try:
        cluster = SLURMCluster(**(defaults | options), scheduler_options=scheduler)
    except (ValueError, OSError, RuntimeError) as error:
        raise PlasticError(f"--slurm {text}: {error}") from None
    try:
        _check(text, cluster.job_script())
        cluster.scale(n=workers)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _check(text: str, script: str) -> None:
    """Let SLURM look at a job first: where it refuses one, dask-jobqueue would wait for ever."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        command = ["sbatch", "--test-only", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split())
        raise PlasticError(f"--slurm {text}: SLURM refuses the job: {reason}")
