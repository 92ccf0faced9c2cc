"""What workers bring, and what they cost: ``python -m tests.benchmarks.sweeping``.

Prints, for each round, the time of the same blocks with one worker, with two, and in this process.
Nothing is read from a store, and the data are loaded beforehand in every process.
"""

import argparse
import statistics
import time

import torch

from plastic_core import RunSpec, SweepSpec
from plastic_core.experiments.sweeping.arms import expand
from plastic_core.experiments.sweeping.executors import pool_for
from plastic_core.experiments.sweeping.packing import Pending, pack, task_of, train_block
from plastic_core.experiments.sweeping.sweep import _with_cells
from plastic_core.plan.plan import Replica
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.training.task_data import Source


def blocks_of(samples, blocks, networks):
    """Return blocks of that many networks each."""
    spec = SweepSpec(
        rules=("oja+bp",),
        base=RunSpec(seeds=blocks * networks, samples=samples, evaluations=2),
    )
    (arm,) = expand(spec, Catalogue())
    cells = _with_cells(arm, Source()).cells.items()
    pending = [Pending(cell, arm.plan, Replica(seed, arm.thetas)) for seed, cell in cells]
    return [task_of(block, None) for block in pack(pending, 1, networks)]


def seconds_of(tasks, workers):
    """Return the time from handing all blocks over to the last result, workers warm."""
    with pool_for(workers, None) as pool:
        first = [
            pool.executor.submit(train_block, task, 1) for task in blocks_of(10, pool.workers, 1)
        ]
        for future in first:
            future.result()
        begun = time.perf_counter()
        for future in [pool.executor.submit(train_block, task, 1) for task in tasks]:
            future.result()
        return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--networks", type=int, default=8, help="of one block")
    parser.add_argument("--blocks", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = blocks_of(given.samples, given.blocks, given.networks)
    rows = []
    for _ in range(given.rounds):
        here, one, two = (seconds_of(tasks, workers) for workers in (0, 1, 2))
        rows.append((one / two, one / here - 1))
        print(
            f"block {here / len(tasks):.1f} s; in process {here:.1f} s, one worker {one:.1f} s, two "
            f"{two:.1f} s: two are {one / two:.2f} times as fast, overhead {one / here - 1:+.1%}",
            flush=True,
        )
    speedup, overhead = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"medians: two workers {speedup:.2f} times as fast; overhead {overhead:+.1%} a block")


if __name__ == "__main__":
    main()
