"""The specification of a probe, checked by pydantic; it loads no torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator

from plastic_core.network_specs import NetworkKind
from plastic_core.specs import API_VERSION, Name, Text
from plastic_core.validation import Spec

VariableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
When = Literal["every", "last"]

#: Variables and dimensions of every result, which no measure of a probe can be called.
RESERVED_VARIABLES: Final = frozenset(
    {"accuracy", "loss", "diverged_at", "seed", "step", "layer", "rule"}
)


class Measure(Spec):
    """One quantity that a probe measures, a variable of the result.

    Attributes:
        long_name: what it is, as an axis is labelled.
        units: "1" where it has none.
        dims: its dimensions beside seed and step. "layer" counts the weight matrices, "rule" the
            rules of the expression; any other has the size that the probe gives it.
    """

    long_name: Text
    units: Text = "1"
    dims: tuple[VariableName, ...] = ("layer",)

    @model_validator(mode="after")
    def _dimensions_are_its_own(self) -> Self:
        if {"seed", "step"} & set(self.dims) or len(set(self.dims)) < len(self.dims):
            raise ValueError(
                f"dims = {self.dims}: expected different names, without seed and step, which the "
                "core adds"
            )
        return self


class ProbeSpec(Spec):
    """What a probe measures.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: what is measured, in LaTeX.
        reference: its source.
        measures: the quantities, by the name of their variable in the result.
        when: "every" evaluation point or the "last" one; ``--set NAME.when=every`` changes it.
        networks: the kinds of network that it measures, a set of "feedforward" and "recurrent".
        params: a pydantic model class of parameters, all with defaults; ``--set
            NAME.FIELD=VALUE`` sets them, ``self.params`` holds them.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    measures: Annotated[dict[VariableName, Measure], Field(min_length=1)]
    when: When = "every"
    networks: Annotated[frozenset[NetworkKind], Field(min_length=1)] = frozenset({"feedforward"})
    params: type[BaseModel] | None = None
    api: int = API_VERSION

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = sorted(RESERVED_VARIABLES & self.measures.keys())
        if taken:
            raise ValueError(f"measures: the names {taken} belong to the core; rename them")
        if self.params and "when" in self.params.model_fields:
            raise ValueError("params: the name when belongs to the core; rename it")
        return self
