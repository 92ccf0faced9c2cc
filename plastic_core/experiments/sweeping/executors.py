"""Where blocks are trained: in this process, on a local Dask cluster, or on a running one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from typing import Any, Final

from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.experiments.sweeping.slurm import open_cluster

# A block that kills its worker once more is at fault; one that dies once may have been killed.
_DEATHS: Final = 2

_IN_THIS_PROCESS: Final = "mend it, or train in this process by --workers 0"


class InProcess(Executor):
    """Runs each call at once, in this process."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold SIGINT back until the end; threads and processes begun in between never get it.

    A terminal sends it to all processes of a command, and workers would die noisily in the middle
    of things, where the one that the user speaks to should end them.
    """
    resource_tracker.ensure_running()  # else the first process starts it, and lets SIGINT through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class Pool:
    """Where blocks are trained.

    Attributes:
        executor: takes them.
        workers: processes that blocks are packed for.
        present: returns how many of them there are now.
        threads: of each of them; None for all cores.
        keep_up: called now and then; starts workers anew in place of those that are gone.
    """

    executor: Executor
    workers: int
    present: Callable[[], int]
    threads: int | None = 1
    keep_up: Callable[[], Any] = lambda: None


@contextlib.contextmanager
def pool_for(
    workers: int | None, scheduler: str | None, slurm: str | None = None
) -> Iterator[Pool]:
    """Give the workers, and close what was opened at the end.

    Args:
        workers: processes of a local cluster, one thread each; None for one a core, 0 for none:
            this process trains on all cores.
        scheduler: address of a Dask scheduler that runs already, in place of a local cluster.
        slurm: options of jobs of SLURM, in place of a local cluster.

    Raises:
        PlasticError: the scheduler has no address, cannot be reached, or has no workers; SLURM
            cannot be used so; or workers do not start, or cannot import what they need.
    """
    if slurm is not None and scheduler is not None:
        raise PlasticError("--slurm and --scheduler: give one of them")
    if slurm is not None and not workers:
        raise PlasticError("--slurm needs --workers N, the number of workers to ask for")
    if workers == 0 and scheduler is None:
        yield Pool(InProcess(), 1, lambda: 1, threads=None)
        return
    if scheduler is not None and not re.fullmatch(r"\w+://[^\s/]+:\d+", scheduler):
        raise PlasticError(
            f"--scheduler {scheduler}: expected an address such as tcp://127.0.0.1:8786"
        )
    import dask
    from distributed import Client

    with dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS}):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout="10s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise PlasticError(
                    f"--scheduler {scheduler}: cannot be reached: {error}; start one by 'dask "
                    "scheduler', and workers by 'dask worker ADDRESS'"
                ) from None
            with client:
                count = _present(client)
                if count == 0:
                    raise PlasticError(
                        f"--scheduler {scheduler}: has no workers; start some by 'dask worker "
                        f"{scheduler} --nthreads 1'"
                    )
                _check_imports(client, "install the same there as here, and start them again")
                yield _pool(client, count)
            return
        with contextlib.ExitStack() as stack:
            count = workers or os.cpu_count() or 1
            with interrupts_held():
                cluster = stack.enter_context(
                    _local_cluster(count) if slurm is None else open_cluster(slurm, count)
                )
                client = stack.enter_context(Client(cluster, set_as_default=False))
            if slurm is None:
                _check_imports(client, _IN_THIS_PROCESS)
                yield _pool(client, count)
            else:
                # jobs end by their walltime, and asking for the same number begins new ones
                yield replace(_pool(client, count), keep_up=lambda: cluster.scale(count))


def _local_cluster(workers: int) -> Any:
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            # no dashboard; its server would take a fixed port all the same
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            host="127.0.0.1",
            silence_logs=50,
        )
    except RuntimeError:  # which says no more than that; the processes themselves say why
        remedy = f"what they say stands above; {_IN_THIS_PROCESS}"
        main = sys.modules["__main__"]
        # a script, and not the command, which is a module
        if main.__spec__ is None and getattr(main, "__file__", "").endswith(".py"):
            remedy = (
                "each of them imports this script again, so that what it does must stand below "
                "if __name__ == '__main__': ; or train in this process by workers=0"
            )
        raise PlasticError(f"the worker processes do not start: {remedy}") from None


def _check_imports(client: Any, remedy: str) -> None:
    """Let all workers import what they need: of one that cannot, Dask would wait for ever."""
    try:
        client.run(exec, "import plastic_core.experiments.sweeping.packing")
    except Exception as error:  # whatever an import raises, or the end of the process
        raise PlasticError(
            "the workers cannot import plastic_core.experiments.sweeping.packing: "
            f"{describe_exception(error)}; {remedy}"
        ) from None


def _pool(client: Any, workers: int) -> Pool:
    return Pool(client.get_executor(pure=False), workers, lambda: _present(client))


def _present(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])
