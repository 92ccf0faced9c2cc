"""One figure of the paper: its networks trained or read from the store, its claims judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plastic_core.base.errors import PlasticError
from plastic_core.experiments.reproducing.claims import judge_all
from plastic_core.experiments.reproducing.figure_checks import plans_of, with_panels
from plastic_core.experiments.reproducing.figure_spec import ArmSpec, FigureSpec
from plastic_core.experiments.reproducing.peers import check_batches, train_batch_norm
from plastic_core.experiments.sweeping.arms import Arm
from plastic_core.experiments.sweeping.sweep import Progress, SweepResult, train_arms
from plastic_core.results.store import Store

if TYPE_CHECKING:
    import xarray as xr


#: Gives what is called with the progress of networks, as a context.
Watch = Callable[[], AbstractContextManager[Callable[[Progress], Any]]]


@dataclass(frozen=True)
class Reproduced:
    """A figure, ready to be drawn.

    Attributes:
        figure: its specification, with the thetas that were used and the panels that are drawn.
        results: curves by network and label of the arm.
        claims: each with its verdicts.
        notes: what the arms are judged by, where that is no matter of course.
        progress: how many networks were trained, and how many were in the store.
    """

    figure: FigureSpec
    results: dict[tuple[str, str], xr.Dataset]
    claims: list[dict[str, Any]]
    progress: Progress
    notes: list[str]


def train_and_judge(figure: FigureSpec, store: Store, **where: Any) -> Reproduced:
    """Train what the store lacks, and judge the claims.

    Args:
        figure: from `read_figure`, changed or not.
        store: read first, and added to.
        where: workers, data_dir and on_progress, as `train_arms` takes them.

    Raises:
        PlasticError: anything wrong with the spec, the data or the store, or a network failed.
    """
    plans = plans_of(figure)
    specs = [arm for one in figure.networks.values() for arm in one.arms]
    planned = zip(specs, plans.values(), strict=True)
    arms = [(arm, Arm(plan.spec.learned_by, {}, plan)) for arm, plan in planned]
    trained = train(arms, store, **where)
    if trained.progress.failed:
        reason = next(iter(trained.progress.failed.values()))
        raise PlasticError(
            f"{figure.name}: {len(trained.progress.failed)} networks failed: {reason}; what is "
            "finished is in the store, and the same command goes on"
        )
    results = {name: arm.curves() for name, arm in zip(plans, trained.arms, strict=True)}
    claims = judge_all(figure.claims, results)
    shown = with_panels(figure, plans)
    return Reproduced(shown, results, claims, trained.progress, trained.notes)


def train(wanted: Sequence[tuple[ArmSpec, Arm]], store: Store, **where: Any) -> SweepResult:
    """Train what the store lacks, by the engine or by the peer; return the arms in their order.

    Raises:
        PlasticError: anything wrong with the arms, the data or the store.
    """
    peers = [arm for spec, arm in wanted if spec.batch_norm]
    check_batches(peers)
    trained = train_arms([arm for spec, arm in wanted if not spec.batch_norm], store, **where)
    ours = iter(trained.arms)
    theirs = iter(train_batch_norm(peers, store, trained.progress, where.get("data_dir")))
    arms = [next(theirs if spec.batch_norm else ours) for spec, _ in wanted]
    return SweepResult(arms, trained.progress)
