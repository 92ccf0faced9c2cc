"""Networks of a sweep packed into blocks: a block is one task, and trains many thetas at once."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.plan.plan import Plan, Replica, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.cell import Cell
from plastic_core.results.sources import sources_of
from plastic_core.results.store import results_of
from plastic_core.training.block import Block
from plastic_core.training.task_data import Source

# Weights, as often as a sample goes through them, of all samples of one block: some ten seconds of
# one core. A killed worker loses no more, and handing a block over costs little beside it.
_WORK_OF_A_BLOCK: Final = 4e10


#: The result of each replica, plain, and whether they are repeatable.
Trained = tuple[list[dict[str, Any]], bool]


@dataclass(frozen=True)
class Pending:
    """A network that is still to be trained."""

    cell: Cell
    plan: Plan
    replica: Replica


@dataclass(frozen=True)
class BlockTask:
    """What a worker is given: plain values, and nothing that belongs to this process.

    Attributes:
        spec: the fields of the RunSpec; its thetas and seeds are not used.
        replicas: seed and thetas of each network.
        versions: that the worker must have.
        data: the digest that its data must have.
        data_dir: where it looks for them.
    """

    spec: dict[str, Any]
    replicas: tuple[tuple[int, dict[str, float]], ...]
    versions: dict[str, str]
    data: str
    data_dir: str | None


def pack(pending: Sequence[Pending], workers: int, limit: int | None = None) -> list[list[Pending]]:
    """Return the networks in blocks that differ in seed and theta alone, `limit` each at most."""
    groups: dict[str, list[Pending]] = defaultdict(list)
    for one in pending:
        content = {k: v for k, v in one.cell.content.items() if k not in ("seed", "rules")}
        rules = [
            {k: v for k, v in rule.items() if k not in ("theta", "by_layer")}
            for rule in one.cell.content["rules"]
        ]
        own = [[name for name, _ in rule.get("by_layer", ())] for rule in one.cell.content["rules"]]
        groups[json.dumps([content, rules, own], sort_keys=True)].append(one)
    blocks = []
    for group in groups.values():
        most = limit or max(1, int(_WORK_OF_A_BLOCK / work_of(group[0])))
        # enough blocks for every worker, all of about the same size
        count = min(len(group), max(-(-len(group) // most), min(workers, len(group))))
        edges = [len(group) * i // count for i in range(count + 1)]
        blocks += [group[a:b] for a, b in itertools.pairwise(edges)]
    return blocks


def work_of(one: Pending) -> int:
    """Return how many weights all samples go through, shared ones at each place and step."""
    circuit = one.plan.circuit
    products = sum(
        matrix.shape.n_post * matrix.shape.n_pre * sum(circuit.places(send.z) for send in sends)
        for matrix, sends in zip(circuit.matrices, circuit.sends, strict=False)
    )
    return products * one.plan.spec.samples


def task_of(block: Sequence[Pending], data_dir: str | None) -> BlockTask:
    """Return what a worker needs to train a block."""
    first = block[0]
    spec = first.plan.spec.model_dump(mode="json")
    if spec.get("data"):  # workers may have another current folder
        spec["data"] = str(expanded(spec["data"]).absolute())
    return BlockTask(
        spec=spec,
        replicas=tuple((one.replica.seed, dict(one.replica.thetas)) for one in block),
        versions=sources_of(first.plan),
        data=first.cell.content["data"],
        data_dir=data_dir,
    )


def train_block(task: BlockTask, threads: int | None) -> Trained:
    """Train a block; return the result of each replica, plain, and whether they are repeatable.

    Args:
        task: what is trained.
        threads: networks trained at once; None for all cores.

    Raises:
        PlasticError: this process has other versions or other data than the one that asked.
    """
    spec = RunSpec(**task.spec)
    source = Source(task.data_dir)
    plan = source.fitted(make_plan(spec, Catalogue(spec.plugins)))
    ours = sources_of(plan)
    if ours != task.versions:
        differs = [
            f"{name}: {ours.get(name, 'not there')} on the worker, {theirs} asked for"
            for name, theirs in task.versions.items()
            if ours.get(name) != theirs
        ]
        raise PlasticError(
            "a worker has other versions than this process:\n  "
            + "\n  ".join(differs)
            + "\n  install the same on both, and start the workers again"
        )
    dataset, digest = source.of(plan)
    if digest != task.data and spec.data:
        raise PlasticError(
            f"{spec.data}: a worker finds other data there than this process; put the same file "
            "there on both, and change it in no sweep"
        )
    if digest != task.data:
        raise PlasticError(
            f"a worker has other data for {spec.task} than this process; let --data-dir or "
            "PLASTIC_DATA_DIR name the same files on both"
        )
    replicas = [Replica(seed, thetas) for seed, thetas in task.replicas]
    return _train(Block(plan, replicas, dataset, threads))


def train_here(block: Sequence[Pending], source: Source) -> Trained:
    """Train a block in this process, on all cores; see `train_block`."""
    plan = block[0].plan
    return _train(Block(plan, [one.replica for one in block], source.of(plan)[0], None))


def _train(block: Block) -> Trained:
    block.train(lambda curves: None)
    results = results_of(block.curves, block.chosen.name)
    return [result.model_dump(mode="json") for result in results], block.repeatable
