"""A sweep: what the store holds is read, what is missing is trained, block by block."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.errors import PlasticError, TrainingError, describe_exception
from plastic_core.experiments.sweeping.arms import Arm, SweepSpec, expand
from plastic_core.experiments.sweeping.executors import InProcess, Pool, pool_for
from plastic_core.experiments.sweeping.packing import (
    Pending,
    pack,
    task_of,
    train_block,
    train_here,
    work_of,
)
from plastic_core.plan.plan import Replica
from plastic_core.plan.planned_readout import readout_notes
from plastic_core.plugins.catalogue import Catalogue, Part
from plastic_core.results.cell import Cell, cell_of
from plastic_core.results.labelled_curves import curves_of, labelled_curves
from plastic_core.results.store import CellResult, Store
from plastic_core.training import machine
from plastic_core.training.task_data import Source

if TYPE_CHECKING:
    import xarray as xr

# Work, as `work_of` counts it, that a core does while other processes start and load data, some
# five seconds; and while this process makes a block ready.
_START: Final = 2e10
_READY: Final = 2e9

# How often it is looked at what is running, where nothing ends.
_LOOK_SECONDS: Final = 1.0


@dataclass
class ArmResult:
    """One arm, with the result of each seed that has one.

    Attributes:
        cells: by seed.
        results: by seed; a seed of a failed block is missing.
    """

    arm: Arm
    cells: dict[int, Cell]
    results: dict[int, CellResult] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean score of its networks at the end, diverged ones at chance level."""
        return float(np.mean([one.scores[-1] for one in self.results.values()]))

    @property
    def rank(self) -> tuple[bool, float]:
        """What it is ranked by, the greatest being the best; last where all networks diverged."""
        score = self.arm.plan.score
        alive = any(one.diverged_at < 0 for one in self.results.values())
        return alive, self.mean if score.higher_is_better else -self.mean

    def curves(self) -> xr.Dataset:
        """Return score, loss and what probes measured, over the seeds that have a result.

        Raises:
            PlasticError: no seed has one.
        """
        if not self.results:
            raise PlasticError(f"{self.arm.rule}: no network of it has a result")
        seeds = sorted(self.results)
        curves = curves_of(self.arm.plan, [self.results[seed] for seed in seeds])
        return labelled_curves(self.arm.plan, curves, seeds).dataset()


@dataclass
class Progress:
    """How far a sweep is.

    Attributes:
        found: networks whose result was in the store.
        running: networks of the blocks that workers train now.
        failed: reasons, by key of the cell.
        alone: seconds for which there was no worker.
        best: mean score of the best arm that has all its seeds, None for none.
        best_arm: that arm, the first of equals.
        best_rank: what it is ranked by.
    """

    total: int
    found: int = 0
    trained: int = 0
    running: int = 0
    diverged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    alone: float = 0.0
    best: float | None = None
    best_arm: Arm | None = None
    best_rank: tuple[bool, float] | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Networks that have a result, or will have none."""
        return self.found + self.trained + len(self.failed)

    @property
    def rate(self) -> float:
        """Networks trained in a second."""
        return self.trained / max(time.monotonic() - self.begun, 1e-9)


@dataclass(frozen=True)
class SweepResult:
    """All arms of a sweep, and what happened."""

    arms: list[ArmResult]
    progress: Progress

    @property
    def notes(self) -> list[str]:
        """What its rules are judged by, where that is no matter of course."""
        plans = [arm.arm.plan for arm in self.arms]
        return readout_notes([(plan.spec, plan.all_rules) for plan in plans])

    def _repr_html_(self) -> str:
        """Return the table that the command prints, for notebooks."""
        from plastic_core.experiments.sweeping.table import page_of

        return page_of(self)


def sweep(
    spec: SweepSpec,
    store: Store,
    *,
    rules: Sequence[type[Rule]] = (),
    probes: Sequence[type[Probe]] = (),
    transforms: Sequence[type[Transform]] = (),
    tasks: Sequence[type[Task[Any]]] = (),
    parts: Sequence[type[Part]] = (),
    data: Any = None,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    on_progress: Callable[[Progress], Any] = lambda progress: None,
) -> SweepResult:
    """Train what the store lacks, and return all results.

    A block whose worker dies repeatedly, or that raises, is recorded as failed, and the rest goes
    on; one that kills this process, where it trains itself, ends the sweep. Each block is written
    to the store as it ends, so that a sweep begun again trains only what is missing.

    Args:
        spec: rules, grid, and what is the same for all.
        store: read first, and added to.
        rules: rule classes that are not installed, to be used by name. What is trained with
            classes or data handed over is trained in this process, and the store has no part in it.
        probes: probe classes likewise.
        transforms: transform classes likewise.
        tasks: task classes likewise.
        parts: classes of layers, activation functions, initialisations and losses likewise.
        data: in place of the task's own data, as `run` takes them.
        workers: processes of a local cluster; 0 for none: this process trains on all cores. None
            for one a core, but none where C has done it before they start.
        scheduler: address of a Dask scheduler that runs already.
        slurm: options of jobs of SLURM, such as ``queue=short,walltime=01:00:00``.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        limit: most networks of one block; None for some ten seconds of work.
        on_progress: called at the start, after each block, and every second.

    Raises:
        PlasticError: anything wrong with the spec, the data, the store or the workers.
    """
    catalogue = Catalogue(spec.base.plugins, rules, probes, transforms, tasks, parts)
    source = Source(data_dir, data)
    spec = spec.model_copy(update={"base": source.with_image(spec.base, catalogue)})
    planned = expand(spec, catalogue)
    return train_arms(
        planned,
        store,
        data=data,
        workers=workers,
        scheduler=scheduler,
        slurm=slurm,
        data_dir=data_dir,
        limit=limit,
        on_progress=on_progress,
    )


def train_arms(
    planned: Sequence[Arm],
    store: Store,
    *,
    data: Any = None,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    on_progress: Callable[[Progress], Any] = lambda progress: None,
) -> SweepResult:
    """Train what the store lacks of these arms; the arguments are those of `sweep`.

    Raises:
        PlasticError: anything wrong with the data, the store or the workers.
    """
    source = Source(data_dir, data)
    if scheduler is None and slurm is None:
        for device in dict.fromkeys(arm.plan.spec.device for arm in planned):
            machine.check_device(device)
    arms = [_with_cells(arm, source) for arm in planned]
    kept: Store | None = store
    if source.handed_over or any(arm.arm.plan.handed_over for arm in arms):
        if workers or scheduler is not None or slurm is not None:
            raise PlasticError(
                "workers, scheduler, slurm: classes and data that are handed over are trained in "
                "this process; leave them out, or put the classes into a file for 'plugins'"
            )
        kept, workers = None, 0
    progress = Progress(sum(len(arm.cells) for arm in arms))
    wanted: dict[str, list[tuple[ArmResult, int]]] = {}
    pending = []
    for arm in arms:
        for seed, cell in arm.cells.items():
            result = None if kept is None else kept.find(cell)
            if result is not None:
                _take(arm, seed, result, progress)
                progress.found += 1
                continue
            if cell.key not in wanted:
                pending.append(Pending(cell, arm.arm.plan, Replica(seed, arm.arm.thetas)))
            wanted.setdefault(cell.key, []).append((arm, seed))
    on_progress(progress)
    if pending:
        if workers is None and scheduler is None and slurm is None and _here(pending, limit):
            workers = 0
        with pool_for(workers, scheduler, slurm) as pool:
            _train(pending, pool, source, limit, progress, on_progress, wanted, kept)
    for arm in arms:  # intervals depend on the order, which must not be that of the blocks' ends
        arm.results = dict(sorted(arm.results.items()))
    return SweepResult(arms, progress)


def _here(pending: list[Pending], limit: int | None) -> bool:
    """Return whether this process lets cores idle for a shorter time than others take to start.

    Only what is generated in C trains on all cores in one process, one network to a core.
    """
    for one in pending:
        if one.plan.transforms or one.plan.spec.backend not in ("auto", "native"):
            return False
    cores, idle = os.cpu_count() or 1, 0.0
    for block in pack(pending, 1, limit):
        rounds = -(-len(block) // cores)
        idle += _READY + (rounds - len(block) / cores) * work_of(block[0])
    return idle <= _START


def _train(
    pending: list[Pending],
    pool: Pool,
    source: Source,
    limit: int | None,
    progress: Progress,
    on_progress: Callable[[Progress], Any],
    wanted: dict[str, list[tuple[ArmResult, int]]],
    store: Store | None,
) -> None:
    blocks = deque(pack(pending, pool.workers, limit))
    # in this process a block is trained when it is handed over, so the next waits for its result
    here = isinstance(pool.executor, InProcess)
    most = 1 if here else len(blocks)
    futures: dict[Future[Any], list[Pending]] = {}
    seen = time.monotonic()

    def submit(block: list[Pending]) -> Future[Any]:
        if here:
            return pool.executor.submit(train_here, block, source)
        task = task_of(block, source.folder)
        return pool.executor.submit(train_block, task, pool.threads)

    while blocks or futures:
        handed = [blocks.popleft() for _ in range(min(len(blocks), most - len(futures)))]
        # blocks are begun in the order in which they are handed over
        present = pool.present()
        if present:
            seen = time.monotonic()
        if present < pool.workers:
            pool.keep_up()
        progress.alone = time.monotonic() - seen
        training = itertools.islice((*futures.values(), *handed), present)
        progress.running = sum(map(len, training))
        on_progress(progress)
        futures |= {submit(block): block for block in handed}
        done, _ = wait(futures, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            _finish(future, futures.pop(future), wanted, store, progress)
    progress.running = 0
    on_progress(progress)


def _with_cells(arm: Arm, source: Source) -> ArmResult:
    arm = replace(arm, plan=source.fitted(arm.plan))
    _, digest = source.of(arm.plan)
    seeds = arm.plan.spec.seed_list
    return ArmResult(arm, {s: cell_of(arm.plan, Replica(s, arm.thetas), digest) for s in seeds})


def _finish(
    future: Future[Any],
    block: list[Pending],
    wanted: dict[str, list[tuple[ArmResult, int]]],
    store: Store | None,
    progress: Progress,
) -> None:
    try:
        results, repeatable = future.result()
    except (Exception, SystemExit) as error:
        if isinstance(error, PlasticError) and not isinstance(error, TrainingError):
            raise
        reason = str(error) if isinstance(error, TrainingError) else describe_exception(error)
        for one in block:
            progress.failed[one.cell.key] = reason
        return
    for one, plain in zip(block, results, strict=True):
        result = CellResult.model_validate(plain)
        if repeatable and store is not None:
            store.add(one.cell, result)
        progress.trained += 1
        for arm, seed in wanted[one.cell.key]:
            _take(arm, seed, result, progress)


def _take(arm: ArmResult, seed: int, result: CellResult, progress: Progress) -> None:
    arm.results[seed] = result
    progress.diverged += result.diverged_at >= 0
    if len(arm.results) == len(arm.cells):
        rank = arm.rank
        if progress.best_rank is None or rank > progress.best_rank:
            progress.best, progress.best_arm, progress.best_rank = arm.mean, arm.arm, rank
