"""The specification of a run, checked by pydantic; it loads no torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import tomli_w
from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from plastic_core.base.name_list import names_in
from plastic_core.base.spec import LATER, Plain, Spec
from plastic_core.plan.spec_file import read_spec_file
from plastic_core.plan.stage import Stage, in_proportion, read_stage

#: The task of data that come with a run, where none is named.
OWN_DATA: Final = "own-data"


def _names(value: Any) -> Any:
    """Accept names as text, separated by commas; one that holds a comma stands in quotes."""
    if isinstance(value, int) and not isinstance(value, bool):  # a column may be called 0
        return (str(value),)
    return names_in(value) if isinstance(value, str) else value


class RunSpec(Spec):
    """Everything that decides a run. Repeating a spec repeats the numbers.

    TOML and JSON go in and out: `from_file`, `to_toml`, `model_dump_json`.
    """

    rule: str = Field(
        "oja+bp", description="sum of rules, such as 'oja+bp' or '0.01*bp + 1e-4*oja'"
    )
    task: str = Field("digits-mlp", description="name of a task")
    options: Plain = Field({}, description="options of the task")
    data: str = Field(
        "",
        description="file with data of your own (.csv, .parquet, .npz, .npy), or a folder of "
        f"images by class; the task is then {OWN_DATA} unless another is named",
        json_schema_extra=LATER,
    )
    target: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (),
        description="what is to be predicted of these data: columns, separated by commas; of "
        ".npz an array, of .npy a file beside it",
        json_schema_extra=LATER,
    )
    target_kind: Literal["auto", "classes", "numbers"] = Field(
        "auto",
        description="what the target is: auto takes fractions, and several columns, for numbers, "
        "and all else for classes",
        json_schema_extra=LATER,
    )
    scale: Literal["none", "unit", "standard"] = Field(
        "none",
        description="scale each column by the training points: unit to 0..1, standard to mean 0 "
        "and deviation 1; images as a whole; numbers to predict likewise",
        json_schema_extra=LATER,
    )
    settings: dict[str, Plain] = Field(
        {},
        description="theta (of one layer: theta.LAYER; over time: a text such as cosine(0.1)), "
        "layers and parameters by rule, transform or probe",
    )
    transforms: tuple[str, ...] = Field((), description="transforms of the summed update, in order")
    probes: tuple[str, ...] = Field((), description="probes that measure the networks, or all")
    probe_samples: PositiveInt = Field(100, le=10**9, description="held-out images of probes")
    plugins: tuple[str, ...] = Field((), description="files with unpackaged plugins")
    seeds: PositiveInt = Field(
        20, le=10**7, description="number of networks; their seeds are 0..N-1"
    )
    first_seed: int = Field(0, ge=0, le=2**31, description="seed of the first network")
    samples: PositiveInt = Field(
        5000, le=10**12, description="training points that each network sees"
    )
    stages: tuple[Annotated[Stage, BeforeValidator(read_stage)], ...] = Field(
        (),
        description="stages of the run, one after the other, RULE: SAMPLES on CLASSES, such as "
        "'0.01*oja: 3000' and 'bp.layers=5: 2000'; without RULE that of the run, without CLASSES "
        "all points; samples, where given, are divided among them",
        json_schema_extra=LATER,
    )
    batch_size: PositiveInt = Field(1, le=10**9, description="training points in one update")
    evaluations: PositiveInt = Field(20, le=10**6, description="points of the learning curve")
    eval_samples: PositiveInt = Field(
        2000, le=10**9, description="held-out images of one evaluation"
    )
    eval_half: Literal["report", "choose"] = Field(
        "report", description="half of the held-out images: report, or choose for tuning theta"
    )
    readout: Literal["auto", "none", "linear", "knn"] = Field(
        "auto",
        description="what networks are judged by in place of their own outputs: ridge regression "
        "or nearest neighbours from their activity; auto takes linear where no rule reads an "
        "error or a target, else none",
        json_schema_extra=LATER,
    )
    readout_layers: Literal["last", "all"] = Field(
        "last",
        description="whose activity a readout sees: the last hidden layer, or all of them",
        json_schema_extra=LATER,
    )
    readout_samples: PositiveInt = Field(
        500,
        le=10**9,
        description="training points that a readout is fitted to",
        json_schema_extra=LATER,
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="precision")
    parent: str = Field(
        "",
        description="folder of a finished run whose networks learn on, in place of new ones",
        json_schema_extra=LATER,
    )
    device: str = Field("cpu", description="torch device, such as cpu or cuda")
    backend: Literal["auto", "native", "compiled", "eager"] = Field(
        "auto", description="how the steps are computed"
    )

    @model_validator(mode="after")
    def _samples_are_those_of_stages(self) -> Self:
        given = self.rule != type(self).model_fields["rule"].default
        if given and self.stages and all(stage.rule for stage in self.stages):
            raise ValueError(
                f"rule = {self.rule!r}: each stage has a rule of its own; leave one out"
            )
        whole = sum(stage.samples for stage in self.stages)
        if self.stages and "samples" not in self.model_fields_set:
            object.__setattr__(self, "samples", whole)
        elif self.stages and self.samples != whole:
            object.__setattr__(self, "stages", in_proportion(self.stages, self.samples))
        return self

    @model_validator(mode="before")
    @classmethod
    def _task_of_data(cls, given: Any) -> Any:
        own = isinstance(given, dict) and (
            given.get("data") or given.get("target") not in (None, "", (), [])
        )
        if own and "task" not in given:
            return {**given, "task": OWN_DATA}
        return given

    @classmethod
    def from_file(cls, path: Path, plugins: Sequence[str] = ()) -> Self:
        """Read a spec from a TOML or JSON file, or from the `run.json` of a finished run.

        Args:
            path: the file.
            plugins: files with plugins to be used in place of those that it names.

        Raises:
            PlasticError: the file cannot be read, is no spec, or names files with plugins, which
                hold code, where none are given.
        """
        return cls(**read_spec_file(path, plugins))

    def to_toml(self) -> str:
        """Return the spec as TOML, to be read by `from_file`."""
        return tomli_w.dumps(self.model_dump(mode="json"))

    @property
    def expressions(self) -> tuple[str, ...]:
        """The rule of each stage; of a run without stages the one."""
        return tuple(stage.rule or self.rule for stage in self.stages) or (self.rule,)

    @property
    def stage_ends(self) -> list[int]:
        """Training points after which each stage ends; nothing of a run without stages."""
        return [*itertools.accumulate(stage.samples for stage in self.stages)]

    @property
    def learned_by(self) -> str:
        """The rules in their order, each as often as it changes."""
        return " then ".join(rule for rule, _ in itertools.groupby(self.expressions))

    @property
    def label(self) -> str:
        """The rules and the transforms, as a run is called in tables and figures."""
        return ", ".join((self.learned_by, *self.transforms))

    @property
    def seed_list(self) -> list[int]:
        """The seeds, one for each network."""
        return list(range(self.first_seed, self.first_seed + self.seeds))
