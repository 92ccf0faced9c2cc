"""One HTML page that shows runs and figures and needs nothing beside itself."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError, reason_of
from plastic_core.base.reading import read_bytes, read_json
from plastic_core.base.scores import ACCURACY, number
from plastic_core.experiments.reproducing.description import describe, published, with_correction
from plastic_core.results.dataset_file import CURVES_FILE, RUN_CURVES, read_dataset

_RUN, _FIGURE = "run.json", "claims.json"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: above it.
        headers: of the columns.
        rows: of as many cells.
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """What the page shows of one folder.

    Attributes:
        title: of the section.
        image: a data URI of the figure.
        caption: below the figure.
        tables: in order.
        notes: what was done otherwise than asked.
        command: repeats it.
    """

    title: str
    image: str
    caption: str
    command: str
    tables: list[Table] = field(default_factory=list)
    notes: Sequence[str] = ()


def report(folders: Sequence[Path]) -> str:
    """Return the page about folders of runs and figures, in their order.

    Everything that came from a file is escaped.

    Raises:
        PlasticError: a folder is neither, or something in it is missing or damaged.
    """
    from jinja2 import Environment, StrictUndefined

    template = (files(__package__) / "report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    return page.render(sections=[_section(folder) for folder in folders])


def _section(folder: Path) -> Section:
    for name, make in _KINDS.items():
        file = folder / name
        if not file.is_file():
            continue
        try:
            content = read_json(file)
        except (OSError, ValueError, RecursionError) as error:
            raise PlasticError(
                f"{file}: cannot be read ({reason_of(error)}); {_AGAIN[name]}"
            ) from None
        try:
            return make(folder, content)
        except PlasticError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise PlasticError(
                f"{file}: is no record of something finished "
                f"({type(error).__name__}: {error}); {_AGAIN[name]}"
            ) from None
    raise PlasticError(
        f"{folder}: is the folder of neither a run nor a figure; expected one with {_RUN}, from "
        f"'plastic run', or {_FIGURE}, from 'plastic reproduce'"
    )


def _of_run(folder: Path, record: Any) -> Section:
    spec, result = record["spec"], record["result"]
    score = result.get("score") or {"name": ACCURACY, **result["accuracy"]}
    name, unit = score["name"], "%" if score["name"] == ACCURACY else ""
    mean, low, high = (number(name, score[key]) for key in ("mean", "low", "high"))
    section = Section(
        title=f"{', '.join((result['rule'], *spec['transforms']))} on {spec['task']}",
        image=_image(folder / "learning_curve.png"),
        caption="",
        command=shlex.join(["plastic", "run", str(folder / _RUN), *_plugins(spec)]),
        notes=[str(note) for note in record["notes"]],
    )
    summary = [
        (name, f"{mean}{unit}"),
        ("98% interval", f"{low} to {high}{unit}"),
        ("networks", f"{spec['seeds']}, {len(result['diverged'])} of them diverged"),
        ("training points of each", f"{spec['samples']:,}"),
        ("backend", f"{record['backend']} ({record['backend_reason']})"),
        ("samples a second", f"{result['samples_per_second']:,.0f}"),
        ("updates a second", f"{result['updates_per_second']:,.0f}"),
        ("seconds", f"{result['seconds']:.1f}"),
    ]
    rules = [
        (
            str(rule["name"]),
            f"{rule['theta']:g}",
            str(rule["theta_from"]),
            ", ".join(map(str, rule["layers"])),
            _text(rule["params"]),
        )
        for stage in record.get("stages", [record])
        for rule in stage["rules"]
    ]
    stages = [
        (stage["rule"], f"{stage['first']:,} to {stage['last']:,}", stage["classes"] or "all")
        for stage in record.get("stages", ())
    ]
    section.tables.append(Table("Result", ("", ""), summary))
    if stages:
        section.tables.append(Table("Stages", ("rule", "training points", "classes"), stages))
    section.tables.append(
        Table("Rules", ("rule", "theta", "theta from", "layers", "parameters"), rules)
    )
    section.tables.append(_pairs("Network", record["network"]))
    section.tables.append(_pairs("Specification", spec))
    section.tables.append(_pairs("Plugins", record["plugins"]))
    section.tables.append(_pairs("Environment", record["environment"]))
    read_dataset(folder / CURVES_FILE, RUN_CURVES)  # a run without its curves is not whole
    return section


def _plugins(spec: Any) -> Iterator[str]:
    """Yield the flags without which a run with plugin files is not repeated."""
    for file in spec["plugins"]:
        yield from ("--plugin", str(file))


def _of_figure(folder: Path, report: Any) -> Section:
    name = str(report["figure"])
    if not re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", name):
        raise ValueError(f"figure is called {name!r}")
    file = f"{name.rpartition('/')[2]}.png"
    section = Section(
        title=f"{name}: {report['title']}",
        image=_image(folder / file),
        caption="a small version" if report["small"] else "",
        command=str(report["command"]),
    )
    rows = [row for claim in report["claims"] for row in _verdicts(claim)]
    headers = ("claim", "compared", "first", "second", "difference", "98% interval", "seeds", "")
    section.tables.append(Table("Claims", headers, rows))
    if "networks" in report:
        arms = [
            (network, arm["label"], arm["rule"], _text(arm["thetas"]), _text(one["options"]))
            for network, one in report["networks"].items()
            for arm in one["arms"]
        ]
        section.tables.append(Table("Arms", ("network", "arm", "rule", "thetas", "options"), arms))
    if "learned" in report:
        section.tables.append(_pairs("Learned", report["learned"]))
    if "search" in report:
        choices = [
            (c["network"], c["arm"], _text(c["thetas"]), str(c["points"]), _text(c["at_edge"]))
            for c in report["search"]
        ]
        names = ("network", "arm", "thetas", "points tried", "at the edge of the grid")
        section.tables.append(Table("Search", names, choices))
    section.tables.append(_pairs("Specification", report["base"]))
    section.tables.append(_pairs("Environment", report["environment"]))
    return section


def _verdicts(claim: Any) -> Iterator[tuple[str, ...]]:
    told = published(claim)
    text = f"{claim['text']} ({told})" if told else str(claim["text"])
    compared = describe(claim)
    for one in claim["verdicts"]:
        layer = f", layer {one['layer']}" if "layer" in one else ""
        numbers: tuple[str, ...] = ("", "", "", "")
        if one["n"]:
            numbers = (
                f"{one['first']:.4g}",
                f"{one['second']:.4g}",
                f"{one['difference']:+.4g}",
                f"{one['low']:.4g} to {one['high']:.4g}",
            )
        seeds = f"{one.get('wins', 0)} of {one['n']}"
        if one.get("left_out"):
            seeds += f", {one['left_out']} left out"
        yield text, compared + layer, *numbers, seeds, with_correction(one)


def _pairs(title: str, values: Mapping[str, Any]) -> Table:
    return Table(title, ("", ""), [(str(name), _text(value)) for name, value in values.items()])


def _text(value: Any) -> str:
    """Return a value as people write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        apart = "; " if any(isinstance(one, Mapping) for one in value) else ", "
        return apart.join(map(_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _image(file: Path) -> str:
    try:
        if file.is_symlink():  # a page is handed on, with whatever a stranger's folder leads to
            raise ValueError("it is a link")
        content = read_bytes(file)
        if not content.startswith(_PNG):
            raise ValueError("it is no PNG picture")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PlasticError(f"{file}: cannot be read ({reason}); make it again") from None
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


_PNG: Final = b"\x89PNG\r\n\x1a\n"

_KINDS: Final[dict[str, Callable[[Path, Any], Section]]] = {_RUN: _of_run, _FIGURE: _of_figure}

_AGAIN: Final = {
    _RUN: "finish the run by 'plastic run --resume --out DIR'",
    _FIGURE: "make the figure again by 'plastic reproduce'",
}
