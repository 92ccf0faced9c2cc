"""What run.json holds: everything that decided a run, and what came out. It is written and read
by this one model.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from plastic_core.base.scores import ACCURACY
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.plan.plan import Plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.results.curves import Curves
from plastic_core.results.environment import environment
from plastic_core.results.scaling import Scaling


class RuleRecord(BaseModel):
    """One rule of a run; layers count from 1.

    Attributes:
        schedules: of the thetas that change over the run, such as "cosine(0.1)", by their names.
    """

    name: str
    distribution: str
    theta: FiniteFloat
    theta_from: str
    layers: list[int]
    params: dict[str, JsonValue]
    thetas_by_layer: dict[str, FiniteFloat] = {}
    thetas: dict[str, FiniteFloat] = {}
    schedules: dict[str, str] = {}


class StageRecord(BaseModel):
    """One stage of a run.

    Attributes:
        rule: the expression.
        rules: as those of the run, which are those of its last stage.
        first, last: training points that each network has seen before, and after it.
        classes: of its points; empty for all.
    """

    rule: str
    rules: list[RuleRecord]
    first: int
    last: int
    classes: str


class TransformRecord(BaseModel):
    """One transform of a run, and the layers that it acts on; None for all."""

    name: str
    distribution: str
    params: dict[str, JsonValue]
    layers: tuple[int, ...] | None = None


class ProbeRecord(BaseModel):
    """One probe of a run, and when it measured."""

    name: str
    distribution: str
    when: str
    params: dict[str, JsonValue]


class ScoreRecord(BaseModel):
    """The mean over the seeds at the last evaluation, with its 98% bootstrap interval."""

    name: str = ACCURACY
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    per_seed: list[FiniteFloat]


class Divergence(BaseModel):
    """A network that left the finite range, and the sample at which it did."""

    seed: int
    sample: int


class RunSummary(BaseModel):
    """What a finished run came to.

    Attributes:
        score: at the last evaluation; written as `accuracy` too where it is that, which is all
            that records of before there was another score hold.
    """

    rule: str
    transforms: list[str]
    thetas: dict[str, FiniteFloat | str]
    task: str
    backend: str
    seeds: int
    samples: int
    score: ScoreRecord
    diverged: list[Divergence]
    samples_per_second: FiniteFloat
    updates_per_second: FiniteFloat
    train_seconds: FiniteFloat
    seconds: FiniteFloat
    notes: list[str]

    @model_validator(mode="before")
    @classmethod
    def _read_accuracy(cls, written: Any) -> Any:
        if not isinstance(written, dict) or isinstance(score := written.get("score"), ScoreRecord):
            return written  # made by `of`, or no record at all
        if isinstance(score, dict) and score.get("name") != ACCURACY:
            return written
        accuracy = written.get("accuracy")
        told = {"name": ACCURACY, **accuracy} if isinstance(accuracy, dict) else None
        if score not in (None, told):
            raise ValueError("'accuracy' and 'score' do not fit each other")
        return {**written, "score": told}

    @model_serializer(mode="wrap")
    def _write_accuracy(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if self.score.name == ACCURACY:
            written["accuracy"] = {k: v for k, v in written["score"].items() if k != "name"}
        return written

    @classmethod
    def of(cls, plan: Plan, backend: str, curves: Curves, seconds: float, notes: list[str]) -> Self:
        """Return the summary of finished curves."""
        spec, last = plan.spec, curves.score[:, -1]
        low, high = bootstrap_interval(last)
        return cls(
            rule=spec.learned_by,
            transforms=list(spec.transforms),
            thetas=plan.written_thetas,
            task=spec.task,
            backend=backend,
            seeds=spec.seeds,
            samples=spec.samples,
            score=ScoreRecord(
                name=curves.score_name,
                mean=float(last.mean()),
                low=float(low),
                high=float(high),
                per_seed=last.tolist(),
            ),
            diverged=[
                Divergence(seed=spec.seed_list[i], sample=int(curves.diverged_at[i]))
                for i in np.flatnonzero(curves.diverged_at >= 0)
            ],
            samples_per_second=curves.samples_per_second,
            updates_per_second=curves.updates_per_second,
            train_seconds=curves.train_seconds,
            seconds=seconds,
            notes=notes,
        )


class ParentRecord(BaseModel):
    """The run that another began from."""

    folder: str
    digest: str
    samples: int
    seen: dict[str, int] = {}


class DataRecord(BaseModel):
    """Data that came with the run, or were scaled.

    Attributes:
        file: as it was given; empty for what was handed over in Python, or is of the task.
        digest: of the data as networks saw them.
        columns: of a table, in the order of the inputs.
        target: what is predicted, by name.
        scaling: of the inputs; None where they are as they were.
        target_scaling: of numbers to predict; outputs are of that scale.
        shape: of a point, such as that of an image; nothing where they are lists of numbers.
    """

    file: str
    digest: str
    columns: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    scaling: Scaling | None = None
    target_scaling: Scaling | None = None
    shape: tuple[int, ...] = ()


class RunRecord(BaseModel):
    """The content of run.json.

    Attributes:
        spec: with every theta written out, so that repeating it repeats the numbers.
        asked: as it was given.
        layers: number of weight matrices.
        plugins: versions by name.
        sources: versions and digests of what the numbers depend on beside the spec, by name.
        parent: the run whose networks learned on: its folder, digest of weights, and the points
            that they had seen; None where they were new.
        stages: one after the other; nothing where there is one alone.
        predicts: what the networks are asked for; None in records of before, where it is what
            their loss is for.
        classes: the labels that the classes stand for, where they are others than 0..K-1.
        data: of data that came with the run, or were scaled; else None.
        notes: what was done otherwise than asked.
        result: None until the run is finished.
    """

    format: Literal[1] = 1
    state: Literal["started", "finished"] = "started"
    spec: dict[str, JsonValue]
    asked: dict[str, JsonValue]
    network: dict[str, JsonValue]
    layers: int
    rules: list[RuleRecord]
    stages: list[StageRecord] = []
    transforms: list[TransformRecord] = []
    probes: list[ProbeRecord] = []
    backend: str
    backend_reason: str
    plugins: dict[str, str]
    sources: dict[str, str] = {}
    parent: ParentRecord | None = None
    predicts: Literal["classes", "numbers"] | None = None
    classes: list[str] = []
    data: DataRecord | None = None
    environment: dict[str, JsonValue]
    notes: list[str]
    result: RunSummary | None = None

    @model_validator(mode="after")
    def _finished_with_a_result(self) -> Self:
        if (self.state == "finished") != (self.result is not None):
            raise ValueError(f"the state is '{self.state}', and 'result' does not fit it")
        return self

    @classmethod
    def begun(
        cls,
        plan: Plan,
        asked: RunSpec,
        backend: tuple[str, str],
        sources: dict[str, str],
        threads: int | None,
        notes: list[str],
    ) -> Self:
        """Return the record of a run that begins.

        Args:
            plan: of the run.
            asked: the spec as it was given.
            backend: its name, and why it was chosen.
            sources: what the numbers depend on beside the spec.
            threads: as asked for.
            notes: what is done otherwise than asked.
        """
        return cls(
            spec=plan.spec.model_dump(mode="json"),
            asked=asked.model_dump(mode="json"),
            network=plan.network.model_dump(mode="json"),
            layers=plan.circuit.depth,
            rules=_rules(plan),
            stages=[
                StageRecord(
                    rule=stage.spec.rule,
                    rules=_rules(stage),
                    first=last - stage.spec.samples,
                    last=last,
                    classes=one.classes,
                )
                for stage, one, last in zip(
                    plan.stages,
                    plan.spec.stages,
                    plan.spec.stage_ends,
                    strict=True,
                )
            ],
            transforms=[
                TransformRecord(
                    name=t.entry.name,
                    distribution=t.entry.distribution,
                    params=_plain(t.transform.params),
                    layers=t.layers,
                )
                for t in plan.transforms
            ],
            probes=[
                ProbeRecord(
                    name=p.entry.name,
                    distribution=p.entry.distribution,
                    when=p.when,
                    params=_plain(p.probe.params),
                )
                for p in plan.probes
            ],
            backend=backend[0],
            backend_reason=backend[1],
            plugins={entry.qualified: entry.version for entry in plan.entries},
            sources=sources,
            parent=None
            if plan.parent is None
            else ParentRecord(
                folder=str(plan.parent.folder.resolve()),
                digest=plan.parent.digest,
                samples=plan.parent.samples,
                seen=dict(plan.parent.seen),
            ),
            environment=environment(threads),
            notes=notes,
        )

    def finished(self, result: RunSummary) -> Self:
        """Return the record of the run once it is finished."""
        return self.model_copy(update={"state": "finished", "result": result})

    def plain(self) -> dict[str, Any]:
        """Return the record as it is written."""
        absent = {name for name in ("result", "data") if getattr(self, name) is None}
        absent |= set() if self.stages else {"stages"}
        return self.model_dump(mode="json", exclude=absent)


def _rules(plan: Plan) -> list[RuleRecord]:
    return [
        RuleRecord(
            name=r.name,
            distribution=r.entry.distribution,
            theta=r.theta,
            theta_from=r.origin,
            thetas=dict(r.own),
            layers=list(r.layers),
            params=_plain(r.rule.params),
            thetas_by_layer={
                plan.circuit.layer_names[layer - 1]: one.theta
                for one in r.by_layer
                for layer in one.layers
            },
            schedules={n: one.text(r.thetas[n]) for n, one in r.schedules.items()},
        )
        for r in plan.rules
    ]


def _plain(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json") if model is not None else {}
