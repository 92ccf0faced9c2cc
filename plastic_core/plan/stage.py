"""Stages of a run: one rule after the other, or the same on other points."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field, PositiveInt

from plastic_core.base.name_list import names_in
from plastic_core.base.spec import Plain, Spec

_LAYERS: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)\.layers=([A-Za-z0-9_,.-]+)")
_FORM: Final = re.compile(r"(?:(.*?):)?\s*([0-9][0-9_]*)\s*(?:on\s+(.*\S)\s*)?")
_EXAMPLES: Final = "'0.01*oja: 3000', 'bp.layers=5: 2000' or '3000 on 0-4'"


class Stage(Spec):
    """One stage of a run; as text ``RULE: SAMPLES on CLASSES``, such as ``0.01*oja: 3000``.

    Attributes:
        rule: the expression; empty for that of the run. In a text a rule that acts on some layers
            alone is written ``bp.layers=5``.
        samples: training points that each network sees.
        classes: of these points, such as "0-4" or "cat,dog", or parts of the data that the task
            names; empty for all. A name with a comma is written in double quotes.
        settings: of the rules of this stage, beside those of the run.
    """

    rule: str = ""
    samples: PositiveInt = Field(le=10**12)
    classes: str = ""
    settings: dict[str, Plain] = Field({})


def read_stage(given: Any) -> Any:
    """Return the fields of a stage from its text; anything else as it is.

    Raises:
        ValueError: the text has another form.
    """
    if not isinstance(given, str):
        return given
    found = _FORM.fullmatch(given)
    if found is None:
        raise ValueError(f"expected RULE: SAMPLES on CLASSES, such as {_EXAMPLES}")
    rule = found[1] or ""
    layers = {name: {"layers": written} for name, written in _LAYERS.findall(rule)}
    return {
        "rule": _LAYERS.sub(r"\1", rule).strip(),
        "samples": int(found[2]),
        "classes": found[3] or "",
        "settings": layers,
    }


def in_proportion(stages: Sequence[Stage], samples: int) -> tuple[Stage, ...]:
    """Return stages of so many points in all, each with its share.

    Raises:
        ValueError: there is less than one for each.
    """
    if samples < len(stages):
        raise ValueError(f"samples = {samples}: there are {len(stages)} stages; give one to each")
    ends, whole = [0], sum(stage.samples for stage in stages)
    for left, end in enumerate(itertools.accumulate(stage.samples for stage in stages), 1):
        most = samples - len(stages) + left
        ends.append(min(max(round(end * samples / whole), ends[-1] + 1), most))
    return tuple(
        stage.model_copy(update={"samples": stop - start})
        for stage, (start, stop) in zip(stages, itertools.pairwise(ends), strict=True)
    )


def classes_of(text: str, names: Sequence[str]) -> list[int]:
    """Return the classes or parts that a text such as "0-4,7" or "cat,dog" names.

    Args:
        text: numbers, ranges of numbers, and names, separated by commas; in double quotes a name
            that has one itself.
        names: what they are called, in their order.

    Raises:
        ValueError: nothing is called so.
    """
    found: list[int] = []
    for part in names_in(text):
        first, dash, last = part.partition("-")
        if part in names:
            found.append(names.index(part))
        elif dash and first in names and last in names:
            begin, end = names.index(first), names.index(last)
            if begin > end:
                raise ValueError(f"{part!r} is no range, for {last} comes before {first}")
            found += range(begin, end + 1)
        else:
            hint = "; write names with a comma in double quotes" if "," in "".join(names) else ""
            raise ValueError(f"nothing is called {part!r}{hint}")
    return sorted({*found})
