"""What a search is: one rule, a range for each theta, and what is the same for all trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from plastic_core.base.errors import PlasticError
from plastic_core.base.spec import Spec
from plastic_core.experiments.sweeping.arms import Arm, SweepSpec, expand
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue


class Range(Spec):
    """From where to where one axis is searched, both ends included.

    Attributes:
        log: whether equal ratios are equally likely, in place of equal steps.
    """

    low: FiniteFloat
    high: FiniteFloat
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"{self.low:g} is not below {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError("both ends of a logarithmic range must be above 0")
        return self

    def at(self, share: float) -> float:
        """Return the value at this share of the way from low to high."""
        if self.log:
            return math.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)
        return self.low * (1 - share) + self.high * share


class SearchSpec(Spec):
    """Everything that decides a search, but for the number of its trials.

    Attributes:
        ranges: by axis: the theta of a rule, its setting (``rule.name``), an option of the task,
            or a field of the RunSpec.
        base: the rule, and what is the same for all trials, seeds included; trials are evaluated
            on the choosing half.
    """

    ranges: Annotated[dict[str, Range], Field(min_length=1)]
    base: RunSpec = Field(default_factory=lambda: RunSpec(eval_half="choose"))

    @model_validator(mode="after")
    def _on_the_choosing_half(self) -> Self:
        if self.base.eval_half != "choose":
            raise ValueError(
                "a search chooses, so eval_half must be choose; the best is reported on the other"
            )
        return self


def parse_range(text: str) -> tuple[str, Range]:
    """Return the name and the range of an axis.

    >>> parse_range("bp=1e-4:1e-1log")
    ('bp', Range(low=0.0001, high=0.1, log=True))

    Raises:
        PlasticError: it is malformed or empty.
    """
    name, equals, values = text.partition("=")
    try:
        low, high = values.removesuffix("log").split(":")
        ends = float(low), float(high)
    except ValueError:
        ends = None
    if not (equals and name.strip() and ends):
        raise _fault(text, "expected NAME=LOW:HIGH, or NAME=LOW:HIGHlog for equal ratios")
    try:
        return name.strip(), Range(low=ends[0], high=ends[1], log=values.endswith("log"))
    except PlasticError as error:
        raise _fault(text, str(error).removeprefix("Range: ")) from None


def arm_at(spec: SearchSpec, point: Mapping[str, float], catalogue: Catalogue) -> Arm:
    """Return the rule at one point of the ranges, planned and checked.

    Raises:
        PlasticError: an axis of nothing, or a value that is not accepted.
    """
    grid = {axis: (value,) for axis, value in point.items()}
    return expand(SweepSpec(rules=(spec.base.rule,), grid=grid, base=spec.base), catalogue)[0]


def check(spec: SearchSpec, catalogue: Catalogue) -> Arm:
    """Check both ends of every range, and a value in between, and return the arm there.

    Raises:
        PlasticError: an axis of nothing, or a value that is not accepted.
    """
    # in between lies no whole number, which an axis such as batch_size would need
    *_, arm = [
        arm_at(spec, {axis: r.at(share) for axis, r in spec.ranges.items()}, catalogue)
        for share in (0, 1, 0.4142135)
    ]
    return arm


def _fault(text: str, reason: str) -> PlasticError:
    return PlasticError(f"--range {text}: {reason}; write such as bp=1e-4:1e-1log or bp=0:0.1")
