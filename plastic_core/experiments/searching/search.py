"""A search: trials are claimed and trained until the budget is used up, then the best is reported.

Processes share nothing but the folder and the store: each claims a trial, trains it, and claims
the next.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from plastic_core.api.loss import Score
from plastic_core.api.plugin import Rule, Task, Transform
from plastic_core.base import scores
from plastic_core.base.errors import PlasticError, TrainingError, describe_exception, listing
from plastic_core.base.scores import ACCURACY
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.experiments.searching.journal import repair as repair_journal
from plastic_core.experiments.searching.search_folder import SearchFolder
from plastic_core.experiments.searching.search_spec import SearchSpec, arm_at, check
from plastic_core.experiments.searching.search_trials import Point, train_arm
from plastic_core.experiments.searching.study import Counts, Study, outcome_of
from plastic_core.experiments.sweeping.arms import Arm
from plastic_core.experiments.sweeping.executors import interrupts_held
from plastic_core.plan.planned_readout import readout_notes
from plastic_core.plugins.catalogue import Catalogue, Part
from plastic_core.results.store import Store
from plastic_core.training.task_data import Source

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

# How often what other processes do is looked at.
_LOOK_SECONDS: Final = 0.3

# How long a process may take to give its trial back when it is told to stop.
_STOP_SECONDS: Final = 3.0

_MOST_EARLY_DEATHS: Final = 3


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is, all its processes together.

    Attributes:
        budget: trials in all.
        counts: trials by what became of them.
        best: score of the best complete trial so far, None for none.
        point: where that is.
        rate: trials ended in a second, since this process began to look; 0 where none did.
        score: the name of the score.
    """

    budget: int
    counts: Counts
    best: float | None
    point: dict[str, float]
    rate: float
    score: str = ACCURACY


class _Stopped(Exception):  # noqa: N818  (no error)
    """A trial that is not worth its end."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def search(
    spec: SearchSpec,
    out: Path,
    store: Store,
    *,
    trials: int,
    rules: Sequence[type[Rule]] = (),
    transforms: Sequence[type[Transform]] = (),
    tasks: Sequence[type[Task[Any]]] = (),
    parts: Sequence[type[Part]] = (),
    data: Any = None,
    repair: bool = False,
    workers: int = 0,
    data_dir: str | None = None,
    on_progress: Callable[[SearchProgress], Any] = lambda progress: None,
) -> dict[str, Any]:
    """Search for the best point of the ranges, and report it on points not used to choose it.

    What `out` holds of this very search is gone on with, and other processes may work on it at
    the same time. Written are search.json and study.jsonl.

    Args:
        spec: the rule, the ranges, and what is the same for all trials.
        out: the folder of the search.
        store: read first, and added to.
        trials: the budget of the whole search, those that `out` holds included.
        rules: rule classes that are not installed, to be used by name. With classes or data handed
            over only this process trains, and the store has no part in it.
        transforms: transform classes likewise.
        tasks: task classes likewise.
        parts: classes of layers, activation functions, initialisations and losses likewise.
        data: in place of the task's own data, as `run` takes them.
        repair: take damaged lines out of the journal first, and keep the rest.
        workers: processes, one thread each; 0 or 1 for none but this, on all cores.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        on_progress: called at the start, after each evaluation or a few times a second.

    Returns:
        The content of search.json, with the budget, the counts and the table of the trials, and
        the best.

    Raises:
        PlasticError: anything wrong with the spec, the data, the folder or the store.
    """
    catalogue = Catalogue(spec.base.plugins, rules, (), transforms, tasks, parts)
    source = Source(data_dir, data)
    spec = spec.model_copy(update={"base": source.with_image(spec.base, catalogue)})
    plan = source.fitted(check(spec, catalogue).plan)
    handed_over = source.handed_over or plan.handed_over
    if handed_over and workers > 1:
        raise PlasticError(
            f"workers = {workers}: with classes or data handed over this process trains alone; "
            "leave workers out, or put the classes into a file for 'plugins'"
        )
    folder = SearchFolder(out, spec, plan, source.of(plan)[1])
    notes = readout_notes([(plan.spec, plan.all_rules)])
    damaged = repair_journal(out / "study.jsonl") if repair else []
    if damaged:
        notes.append(f"damaged lines of study.jsonl were taken out: {listing(map(str, damaged))}")
    score = plan.score
    study = Study(out, spec.ranges, trials, score.higher_is_better)
    means = _Means(catalogue, source, None if handed_over else store)
    try:
        job = _Job(spec, out, store.folder, trials, data_dir, score)
        _show(study, job, on_progress)
        if workers > 1:
            notes += _work_in_processes(job, workers, study, on_progress)
        _work(job, study, means, None, on_progress)
        best = study.best()
        counts, table = study.counts(), [_row(trial, score.name) for trial in study.trials()]
    finally:
        study.close()
    chosen = None
    if best is not None:
        arm = arm_at(spec, best.params, catalogue)
        chosen = {
            "trial": best.number,
            "point": best.params,
            "thetas": arm.plan.written_thetas,
            "chosen_by": best.value,
            **_report(arm, means, score.name),
        }
    ended = {name: n for name, n in asdict(counts).items() if name != "running"}
    return folder.finish(
        {
            "score": score.name,
            "store": str(store.folder),
            "budget": trials,
            "trials": ended,
            "best": chosen,
            "notes": notes,
            "table": table,
        }
    )


@dataclass(frozen=True)
class _Job:
    """What a process needs to know: plain values."""

    spec: SearchSpec
    out: Path
    store: Path
    budget: int
    data_dir: str | None
    score: Score


@dataclass(frozen=True)
class _Means:
    """What a process trains with; the store is None where it has no part in it."""

    catalogue: Catalogue
    source: Source
    store: Store | None


def _work(
    job: _Job,
    study: Study,
    means: _Means,
    threads: int | None,
    on_progress: Callable[[SearchProgress], Any],
) -> None:
    """Claim trials and train them until the budget is used up, and nobody trains any more."""

    def show() -> SearchProgress:
        return _show(study, job, on_progress)

    while True:
        trial = study.claim()
        if trial is None:
            if show().counts.running == 0:
                return
            time.sleep(_LOOK_SECONDS)  # what others train may still be given back
            continue
        try:
            arm = arm_at(job.spec, trial.params, means.catalogue)
            score = _train(arm, job.score, trial, means, threads, show)
        except _Stopped as stopped:
            study.stop(trial, stopped.outcome, str(stopped))
        except TrainingError as error:
            study.stop(trial, "failed", str(error))
        except (PlasticError, KeyboardInterrupt):
            study.give_back(trial)
            raise
        except (Exception, SystemExit) as error:
            study.stop(trial, "failed", describe_exception(error))
        else:
            study.end(trial, score)
        show()


def _train(
    arm: Arm,
    score: Score,
    trial: Trial,
    means: _Means,
    threads: int | None,
    show: Callable[[], Any],
) -> float:
    """Return the mean score at the end of the training.

    Raises:
        _Stopped: most networks diverged, or it is hopeless.
    """
    points: list[Point] = []

    def judge(point: Point) -> None:
        points.append(point)
        trial.report(point.score, point.step)
        show()
        if not point.last:
            _check_divergence(point)
            if trial.should_prune():
                best = (max if score.higher_is_better else min)(p.score for p in points)
                percent = "%" if score.name == ACCURACY else ""
                side = "below" if score.higher_is_better else "above"
                raise _Stopped(
                    "pruned",
                    f"at sample {point.step} its best {score.name} was "
                    f"{scores.number(score.name, best)}{percent}, {side} the median of the "
                    "complete trials",
                )

    train_arm(arm, means.store, means.source, threads, judge)
    _check_divergence(points[-1])
    return points[-1].score


def _check_divergence(point: Point) -> None:
    if 2 * point.diverged > point.seeds:
        raise _Stopped(
            "diverged",
            f"{point.diverged} of {point.seeds} networks diverged before sample {point.step}",
        )


def _work_in_processes(
    job: _Job, workers: int, study: Study, on_progress: Callable[[SearchProgress], Any]
) -> list[str]:
    """Let processes of their own do the work, and return what is to be noted.

    Raises:
        PlasticError: what one of them raised.
    """
    context = multiprocessing.get_context("spawn")
    faults = context.SimpleQueue()
    processes: list[Any] = []
    before, died = len(study.trials()), 0

    def start() -> None:
        process = context.Process(target=_process, args=(job, faults), daemon=True)
        with interrupts_held():  # and it inherits that: this process tells it to stop
            process.start()
            processes.append(process)

    try:
        for _ in range(workers):
            start()
        while faults.empty() and processes:
            wait([process.sentinel for process in processes], timeout=_LOOK_SECONDS)
            for process in [p for p in processes if not p.is_alive()]:
                processes.remove(process)
                if process.exitcode != 0:
                    died += 1
                    # each that trained left a trial; a few may have been killed before that
                    if died > len(study.trials()) - before + _MOST_EARLY_DEATHS:
                        raise PlasticError(
                            "processes of the search die before their first trial, with exit code "
                            f"{process.exitcode}; --workers 0 trains in this process"
                        )
                    start()
            _show(study, job, on_progress)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_STOP_SECONDS)
            process.kill()
            process.join()
        if processes:
            study.give_back_dead()
    if not faults.empty():
        raise PlasticError(faults.get())
    return [f"processes that died: {died}; their trials were begun again"] if died else []


def _process(job: _Job, faults: Any) -> None:
    """Work in a process of its own, until there is no more to do or the parent is gone."""
    import torch

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def stop_without_parent(progress: SearchProgress) -> None:
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt

    # standard output is the parent's, for its result alone
    with contextlib.suppress(KeyboardInterrupt), contextlib.redirect_stdout(sys.stderr):
        try:
            study = Study(job.out, job.spec.ranges, job.budget, job.score.higher_is_better)
            try:
                catalogue = Catalogue(job.spec.base.plugins)
                means = _Means(catalogue, Source(job.data_dir), Store(job.store))
                _work(job, study, means, 1, stop_without_parent)
            finally:
                study.close()
        except PlasticError as error:
            faults.put(str(error))


def _report(arm: Arm, means: _Means, score: str) -> dict[str, Any]:
    """Return the score of the best on the half that is for reporting."""
    spec = arm.plan.spec.model_copy(update={"eval_half": "report"})
    reported = replace(arm, plan=replace(arm.plan, spec=spec))
    results = train_arm(reported, means.store, means.source, None, lambda point: None)
    last = [result.scores[-1] for result in results.values()]
    low, high = bootstrap_interval(last)
    return {
        score: float(np.mean(last)),
        "low": float(low),
        "high": float(high),
        "seeds": len(last),
        "diverged": sum(result.diverged_at >= 0 for result in results.values()),
    }


def _row(trial: FrozenTrial, score: str) -> dict[str, Any]:
    step = trial.last_step
    return {
        "trial": trial.number,
        "outcome": outcome_of(trial),
        "reason": trial.user_attrs.get("reason"),
        "point": trial.params,
        "sample": step,
        score: None if step is None else trial.intermediate_values[step],
    }


def _show(study: Study, job: _Job, on_progress: Callable[[SearchProgress], Any]) -> SearchProgress:
    best = study.best()
    point = best.params if best is not None else {}
    value = best.value if best is not None else None
    progress = SearchProgress(
        job.budget, study.counts(), value, point, study.rate(), job.score.name
    )
    on_progress(progress)
    return progress
