"""Where blocks are trained: in this process, on a local Dask cluster, or on a running one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any

from plastic_core.errors import PlasticError


class InProcess(Executor):
    """Runs each call at once, in this process."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold SIGINT back until the end; threads and processes begun in between never get it.

    A terminal sends it to all processes of a command, and workers would die noisily in the middle
    of things, where the one that the user speaks to should end them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def executor_for(workers: int | None, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """Give an executor and the number of its workers, and close it at the end.

    Args:
        workers: processes of a local cluster, one thread each; 0 for none, None for one a core.
        scheduler: address of a Dask scheduler that runs already, in place of a local cluster.

    Raises:
        PlasticError: the scheduler has no address, cannot be reached, or has no workers.
    """
    if workers == 0 and scheduler is None:
        yield InProcess(), 1
        return
    if scheduler is not None and not re.fullmatch(r"\w+://[^\s/]+:\d+", scheduler):
        raise PlasticError(
            f"--scheduler {scheduler}: expected an address such as tcp://127.0.0.1:8786"
        )
    import dask
    from distributed import Client, LocalCluster

    # a block that kills its worker twice is at fault; one that dies once may have been killed
    with dask.config.set({"distributed.scheduler.allowed-failures": 2}):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout="10s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise PlasticError(
                    f"--scheduler {scheduler}: cannot be reached: {error}; start one by 'dask "
                    "scheduler', and workers by 'dask worker ADDRESS'"
                ) from None
            with client:
                count = len(client.scheduler_info(n_workers=-1)["workers"])
                if count == 0:
                    raise PlasticError(
                        f"--scheduler {scheduler}: has no workers; start some by 'dask worker "
                        f"{scheduler} --nthreads 1'"
                    )
                yield client.get_executor(pure=False), count
            return
        cluster = LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,
            host="127.0.0.1",
            silence_logs=50,
        )
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client.get_executor(pure=False), len(cluster.workers)
