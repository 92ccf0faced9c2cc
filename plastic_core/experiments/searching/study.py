"""The trials of a search: an Optuna study in a journal of JSON lines, shared by processes."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages.journal import JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.base.files import explained
from plastic_core.experiments.searching.journal import Journal, is_locked, locked
from plastic_core.experiments.searching.search_spec import Range

_REMEDY: Final = "free or allow it, or give another folder with --out"

# A trial that was begun this often, and whose process died every time, is at fault itself.
_MOST_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Counts:
    """Trials by what became of them.

    Attributes:
        complete: trained to the end.
        pruned: stopped as hopeless.
        diverged: stopped because most of their networks diverged.
        failed: whose rule raised, or killed its process repeatedly.
        running: in some process.
        reclaimed: of processes that died or were stopped; begun again, and not in the budget.
    """

    complete: int = 0
    pruned: int = 0
    diverged: int = 0
    failed: int = 0
    running: int = 0
    reclaimed: int = 0

    @property
    def ended(self) -> int:
        """Trials of the budget that are done."""
        return self.complete + self.pruned + self.diverged + self.failed


class Study:
    """One search as one process sees it; several may work on the same folder.

    Each process holds a lock on a file of its own for as long as it lives, and names that file in
    its trials: a trial that runs while its file is not locked belongs to a process that died.

    Args:
        folder: of the search; must be there.
        ranges: by axis.
        budget: trials in all.
        higher_is_better: whether the greatest score is the best.

    Raises:
        PlasticError: the journal is damaged, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        ranges: Mapping[str, Range],
        budget: int,
        higher_is_better: bool = True,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._folder, self._budget, self._higher = folder, budget, higher_is_better
        self._axes = {
            axis: FloatDistribution(r.low, r.high, log=r.log) for axis, r in ranges.items()
        }
        journal = folder / "study.jsonl"
        self._alive = folder / "alive"
        self._name = uuid.uuid4().hex
        self._held = contextlib.ExitStack()
        with explained(journal, _REMEDY):
            self._alive.mkdir(exist_ok=True)
            self._held.enter_context(locked(self._alive / self._name))
            backend = Journal(str(journal))
        try:
            self._storage = JournalStorage(backend)
            with self._claiming():
                self._study = optuna.create_study(
                    study_name="search",
                    storage=self._storage,
                    direction="maximize" if higher_is_better else "minimize",
                    pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
                    load_if_exists=True,
                )
        except Exception as error:  # whatever a journal that somebody changed leads to
            self.close()
            if isinstance(error, PlasticError):
                raise
            raise PlasticError(
                f"{journal}: is no journal of a search ({describe_exception(error)}); move the "
                "folder away, or give another --out"
            ) from None

        self._begun, self._ended_before = time.monotonic(), self.counts().ended

    def close(self) -> None:
        """Say that this process works on the study no more."""
        self._held.close()
        with contextlib.suppress(OSError):
            (self._alive / self._name).unlink()

    def claim(self) -> Trial | None:
        """Return the next trial, or None where the budget is used up or in other hands.

        Trials of processes that died are given back first. The sampler is seeded by the place in
        the budget: one process that is stopped and goes on makes the trials of one that is not.
        """
        with self._claiming():
            for known in self._trials():
                if known.state == TrialState.RUNNING and not self._is_alive(known):
                    self._reclaim(known, known.user_attrs.get("attempt", 1))
            counts = self.counts()
            place = counts.ended + counts.running
            if place >= self._budget:
                return None
            self._study.sampler = optuna.samplers.TPESampler(
                seed=place, multivariate=True, constant_liar=True
            )
            trial = self._study.ask(dict(self._axes))
            trial.set_user_attr("process", self._name)
            return trial

    def end(self, trial: Trial, score: float) -> None:
        """Record that a trial was trained to the end."""
        self._study.tell(trial, score)

    def stop(self, trial: Trial, outcome: str, reason: str) -> None:
        """Record a trial as ``pruned``, ``diverged`` or ``failed``, and why."""
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("reason", reason)
        failed = outcome == "failed"
        self._study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)

    def give_back(self, trial: Trial) -> None:
        """Record that this process was stopped; the trial is begun again by the next one."""
        with self._claiming():
            frozen = self._storage.get_trial(trial._trial_id)
            self._reclaim(frozen, frozen.user_attrs.get("attempt", 1) - 1)

    def give_back_dead(self) -> None:
        """Do so for processes that were told to stop, and had to be killed."""
        with self._claiming():
            for trial in self._trials():
                if trial.state == TrialState.RUNNING and not self._is_alive(trial):
                    self._reclaim(trial, trial.user_attrs.get("attempt", 1) - 1)

    def counts(self) -> Counts:
        """Return how many trials there are of each kind."""
        found = Counter(outcome_of(trial) for trial in self._trials())
        return Counts(**{name: found[name] for name in Counts.__dataclass_fields__})

    def rate(self) -> float:
        """Return how many trials ended in a second, by all processes, since this one began."""
        ended = self.counts().ended - self._ended_before
        return ended / max(time.monotonic() - self._begun, 1e-9)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that ended or run, in the order of their beginning."""
        return [trial for trial in self._trials() if outcome_of(trial) != "waiting"]

    def best(self) -> FrozenTrial | None:
        """Return the best of the complete trials, the first of equals."""
        complete = [
            t
            for t in self._trials()
            # a repaired journal may lack where a trial was
            if t.state == TrialState.COMPLETE and t.params.keys() == self._axes.keys()
        ]
        sign = 1 if self._higher else -1
        return max(complete, key=lambda t: sign * (t.value or 0.0), default=None)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _is_alive(self, trial: FrozenTrial) -> bool:
        # one without a name died while it was claiming: nobody else is, now
        name = trial.user_attrs.get("process")
        return isinstance(name, str) and is_locked(self._alive / Path(name).name)

    def _reclaim(self, trial: FrozenTrial, attempts: int) -> None:
        """End a trial without a result, and put its point first in the queue."""
        again = attempts < _MOST_ATTEMPTS
        reason = "stopped before its end" if again else f"its process died {attempts} times"
        outcome = "reclaimed" if again else "failed"
        self._storage.set_trial_user_attr(trial._trial_id, "outcome", outcome)
        self._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        self._study.tell(trial.number, state=TrialState.FAIL)
        name = trial.user_attrs.get("process")
        if isinstance(name, str) and name != self._name:
            with contextlib.suppress(OSError):
                (self._alive / Path(name).name).unlink()
        # one that died while its point was drawn had not begun, and it is drawn as before
        if again and trial.params.keys() == self._axes.keys():
            self._study.enqueue_trial(trial.params, {"attempt": attempts + 1})

    @contextlib.contextmanager
    def _claiming(self) -> Iterator[None]:
        file = self._folder / "claim.lock"
        with explained(file, _REMEDY), locked(file):
            yield


def outcome_of(trial: FrozenTrial) -> str:
    """Return the name of the field of `Counts` that a trial is counted in, or ``waiting``."""
    if trial.state == TrialState.FAIL:
        return str(trial.user_attrs.get("outcome", "failed"))
    if trial.state == TrialState.PRUNED:
        return str(trial.user_attrs.get("outcome", "pruned"))
    return trial.state.name.lower()
