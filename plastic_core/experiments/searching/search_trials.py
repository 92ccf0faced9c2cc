"""One arm trained under watch: what the store lacks of its seeds, judged at each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plastic_core.experiments.sweeping.arms import Arm
from plastic_core.plan.plan import Replica
from plastic_core.results.cell import cell_of
from plastic_core.results.store import CellResult, Store, results_of
from plastic_core.training.block import Block
from plastic_core.training.task_data import Source


@dataclass(frozen=True)
class Point:
    """All networks of an arm at one evaluation.

    Attributes:
        step: samples seen.
        score: mean over the seeds, diverged ones at chance level.
        diverged: number of networks that have diverged.
        seeds: number of networks.
        last: whether it is the end of the training.
    """

    step: int
    score: float
    diverged: int
    seeds: int
    last: bool


def train_arm(
    arm: Arm,
    store: Store | None,
    source: Source,
    threads: int | None,
    on_point: Callable[[Point], Any],
) -> dict[int, CellResult]:
    """Train the seeds that the store lacks, side by side, and return the results of all by seed.

    Args:
        arm: rule, thetas and seeds.
        store: read first, and added to at the end; None where it has no part in it.
        source: of the data.
        threads: networks trained at once; None for all cores.
        on_point: called at each evaluation; what it raises stops the training, and nothing is
            added to the store. What comes from the store passes by it in the same way, so that
            the outcome does not depend on what the store holds.
    """
    plan = source.fitted(arm.plan)
    dataset, digest = source.of(plan)
    seeds = plan.spec.seed_list
    cells = {seed: cell_of(plan, Replica(seed, arm.thetas), digest) for seed in seeds}
    results: dict[int, CellResult] = {}
    if store is not None:
        stored = {seed: store.find(cell) for seed, cell in cells.items()}
        results = {seed: found for seed, found in stored.items() if found is not None}
    missing = [seed for seed in seeds if seed not in results]
    if not missing:
        for i, step in enumerate(results[seeds[0]].steps):
            scores = [results[seed].scores[i] for seed in seeds]
            at = [results[seed].diverged_at for seed in seeds]
            on_point(_point(step, scores, at, i == len(results[seeds[0]].steps) - 1))
        return results

    block = Block(plan, [Replica(seed, arm.thetas) for seed in missing], dataset, threads)

    def after_point(curves: Any) -> None:
        i = curves.done - 1
        scores = {seed: one.scores[i] for seed, one in results.items()}
        scores |= dict(zip(missing, curves.score[:, i].tolist(), strict=True))
        at = [one.diverged_at for one in results.values()] + curves.diverged_at.tolist()
        last = curves.done == len(curves.steps)
        on_point(_point(int(curves.steps[i]), [scores[seed] for seed in seeds], at, last))

    block.train(after_point)
    for seed, result in zip(missing, results_of(block.curves, block.chosen.name), strict=True):
        if block.repeatable and store is not None:
            store.add(cells[seed], result)
        results[seed] = result
    return {seed: results[seed] for seed in seeds}


def _point(step: int, scores: list[float], diverged_at: list[int], last: bool) -> Point:
    diverged = sum(0 <= at < step for at in diverged_at)
    return Point(step, float(np.mean(scores)), diverged, len(scores), last)
