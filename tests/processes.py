"""The command line in processes of its own: forked from one that has imported it, or fresh."""

import atexit
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

# Nothing takes so long on any machine: what waits longer hangs.
HANGS = 900

# Kills a process by its own hand where it touches files: before the `count`-th audit event, such
# as "os.rename FROM TO -1 -1" or "open PATH w 524865", that the pattern matches. See
# https://docs.python.org/3/library/audit_events.html
DIES = """
import itertools, os, re, signal, sys
seen = itertools.count(1)
def hook(event, arguments):
    if re.search({pattern!r}, " ".join(map(str, (event, *arguments)))) and next(seen) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""

# Lets a run write a checkpoint at each of its evaluations, however fast it is.
CHECKPOINTS = """
from plastic_core.results import result_folder
result_folder._FIRST_CHECKPOINT, result_folder._CHECKPOINT_SHARE = 0.0, float("inf")
"""


def dies(pattern, count=1):
    """Return what lets a process die before it touches a file for the `count`-th time."""
    return DIES.format(pattern=pattern, count=count)


class ForkServer:
    """Calls of the command line as a fresh process would answer them, without its imports.

    Args:
        python: the interpreter.
    """

    def __init__(self, python=sys.executable):
        self._python = python

    @functools.cached_property
    def _process(self):
        command = [self._python, Path(__file__).with_name("fork_server.py")]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        atexit.register(process.communicate)  # which closes its input, and so ends it
        return process

    def __call__(self, module, *arguments, first="", cwd=None, env=None):
        """Return the `subprocess.CompletedProcess` of ``python -m module arguments``."""
        with TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("out", "err")]
            for file in files:
                file.touch()
            call = {
                "module": module,
                "arguments": list(map(str, arguments)),
                "first": first,
                "folder": str(cwd or Path.cwd()),
                "environment": dict(os.environ) if env is None else env,
                "out": str(files[0]),
                "err": str(files[1]),
            }
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            texts = [file.read_text() for file in files]
            return subprocess.CompletedProcess((module, *arguments), code, *texts)


_forked = ForkServer()


def plastic(*arguments, path=None, first="", fresh=False, **environment):
    """Run the command line in a process of its own.

    Args:
        arguments: of `plastic`.
        path: a folder on the import path.
        first: Python that the process runs before anything else.
        fresh: start an interpreter, where starting is what is tested; otherwise fork.
        environment: variables to be set.
    """
    env = {**os.environ, **environment}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    if not fresh:
        return _forked("plastic_core", *arguments, first=first, env=env)
    return subprocess.run(
        [sys.executable, "-m", "plastic_core", *arguments], capture_output=True, text=True, env=env
    )


def start(*arguments):
    """Begin a fresh process with the command line, and return it."""
    return subprocess.Popen(
        [sys.executable, "-m", "plastic_core", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(condition, process=None):
    """Wait until a condition holds, and fail where it cannot: the process ended, or hangs."""
    deadline = time.monotonic() + HANGS
    while not condition():
        assert process is None or process.poll() is None, "the process ended before"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.01)
