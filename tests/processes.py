"""The command line in processes of its own: forked from one that has imported it, or fresh."""

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

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


class Started:
    """A process of a `ForkServer` that was begun and goes on, much as a `subprocess.Popen`.

    Attributes:
        pid: its id.
        returncode: None until it was seen to have ended.
    """

    def __init__(self, server, folder, pid):
        self._server, self._folder, self.pid = server, folder, pid
        self.returncode = None

    def poll(self):
        """Return the exit code, negative where a signal ended it; None while it runs."""
        return self._see(wait=False)

    def wait(self):
        """Return the exit code, once there is one."""
        return self._see(wait=True)

    def _see(self, wait):
        if self.returncode is None:
            self.returncode = self._server.ask("ended", child=self.pid, wait=wait)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless it was seen to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self):
        """Wait for the end, and return what stands on both streams."""
        self.wait()
        with self._folder as folder:
            return tuple((Path(folder) / name).read_text() for name in STREAMS)


STREAMS = ("out", "err")


class ForkServer:
    """Calls of the command line as a fresh process would answer them, without its imports."""

    @functools.cached_property
    def _process(self):
        command = [sys.executable, Path(__file__).with_name("fork_server.py")]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        atexit.register(process.communicate)  # which closes its input, and so ends it
        return process

    def ask(self, function, **arguments):
        """Return the answer of the server."""
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, module, *arguments, first="", cwd=None, env=None):
        """Begin ``python -m module arguments``, and return it as `Started`."""
        folder = TemporaryDirectory()
        streams = {name: str(Path(folder.name) / name) for name in STREAMS}
        for path in streams.values():
            Path(path).touch()
        pid = self.ask(
            "fork",
            module=module,
            arguments=[*map(str, arguments)],
            first=first,
            folder=str(cwd or Path.cwd()),
            environment=dict(os.environ) if env is None else env,
            **streams,
        )
        return Started(self, folder, pid)

    def __call__(self, module, *arguments, **more):
        """Return the `subprocess.CompletedProcess` of ``python -m module arguments``."""
        started = self.start(module, *arguments, **more)
        texts = started.communicate()
        return subprocess.CompletedProcess((module, *arguments), started.returncode, *texts)


forked = ForkServer()


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
        return forked("plastic_core", *arguments, first=first, env=env)
    return subprocess.run(
        [sys.executable, "-m", "plastic_core", *arguments], capture_output=True, text=True, env=env
    )


def start(*arguments, first="", cwd=None):
    """Begin a process with the command line, and return it as `Started`."""
    return forked.start("plastic_core", *arguments, first=first, cwd=cwd)


def workers_of(pid=None):
    """Return the processes that this process, or another, has spawned to work for it."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ends just now
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_until(condition, process=None):
    """Wait until a condition holds, and fail where it cannot: the process ended, or hangs."""
    deadline = time.monotonic() + HANGS
    while not condition():
        assert process is None or process.poll() is None, "the process ended before"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.01)
