"""The figures of ``plastic reproduce`` that are about meta-learning."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import write_atomically, write_json
from plastic_core.cli.live import SweepView
from plastic_core.experiments.reproducing.figure_spec import read_figure
from plastic_core.experiments.reproducing.meta_figure import make_meta_figure, read_meta_figure
from plastic_core.experiments.reproducing.metagrid import make_metagrid, read_metagrid
from plastic_core.figures import draw_meta_figure, draw_metagrid
from plastic_core.results.environment import environment
from plastic_core.results.store import Store

_REMEDY: Final = "free or allow it, or give another folder with --out"

# Of a small version.
_QUICK: Final = {"episodes": 3, "seeds": 2}
_QUICK_TESTS: Final = 6
_QUICK_GROWTH: Final = {"networks": 2, "lengths": (10, 30)}
_QUICK_OPTIONS: Final = {"shots": 8, "queries": 4}

# Of the flags of 'plastic reproduce' that change what is computed, those that a figure takes.
_TAKES: Final = {"fig8": ("seeds",), "metagrid": ("seeds", "samples", "backend", "workers")}


def check_flags(name: str, given: dict[str, Any]) -> None:
    """Refuse flags that a figure has no use for.

    Args:
        name: of the figure.
        given: flags by name; None or False where they were not given.

    Raises:
        PlasticError: one of them was given.
    """
    for flag, value in given.items():
        if flag not in _TAKES[name] and value not in (None, False):
            raise PlasticError(
                f"--{flag} does not apply to {name}; it takes --quick, "
                + ", ".join(f"--{one}" for one in _TAKES[name])
            )


def make(
    name: str,
    folder: Path,
    store: Store,
    changes: dict[str, Any],
    quick: bool,
    command: str,
    where: Any,
) -> dict[str, Any]:
    """Make one of the figures, and return its report.

    Args:
        name: of the figure.
        folder: where it is written.
        store: of finished networks.
        changes: fields of the runs, as the user changed them.
        quick: a very small version.
        command: repeats it.
        where: workers and data_dir.
    """
    begun = time.monotonic()
    if name == "fig8":
        report = _fig8(folder, changes, quick, where)
    else:
        report = _metagrid(folder, store, changes, quick, where)
    report = {
        "format": 1,
        "figure": name,
        "command": command,
        "environment": environment(None),
        **report,
    }
    report["seconds"] = time.monotonic() - begun
    write_json(folder / "claims.json", report, _REMEDY)
    return report


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _fig8(folder: Path, changes: dict[str, Any], quick: bool, where: Any) -> dict[str, Any]:
    figure = read_meta_figure("fig8")
    stored: Any = figure.base
    base = {**stored, "seeds": changes.get("seeds", stored["seeds"])}
    if quick:
        base |= _QUICK
        networks = {
            network: one.model_copy(update={"options": {**one.options, **_QUICK_OPTIONS}})
            for network, one in figure.networks.items()
        }
        figure = figure.model_copy(update={"networks": networks, "tests": _QUICK_TESTS})
    small = quick or base["seeds"] < stored["seeds"]
    figure = figure.model_copy(update={"base": base})
    _say(f"fig8: {figure.title}")
    done = make_meta_figure(figure, folder, where["data_dir"], None, _say)
    note = (
        f"{base['seeds']} seeds, {figure.tests} fresh tasks; shaded, bars: 98% bootstrap interval"
    )
    note = f"SMALL VERSION; {note}" if small else note
    for suffix in ("pdf", "png"):
        write_atomically(
            folder / f"fig8.{suffix}",
            lambda path: draw_meta_figure(
                list(figure.networks),
                {key: result.history for key, result in done.learned.items()},
                done.tested,
                figure.title,
                note,
                path,
            ),
            _REMEDY,
        )
    learned = {
        f"{network}, {label}": result.record["result"]
        for (network, label), result in done.learned.items()
    }
    return {
        "title": figure.title,
        "small": small,
        "base": base,
        "claims": done.claims,
        "learned": learned,
    }


def _metagrid(
    folder: Path, store: Store, changes: dict[str, Any], quick: bool, where: Any
) -> dict[str, Any]:
    spec = read_metagrid()
    if quick:
        stored: Any = spec.base
        base = {**stored, **_QUICK, "options": {**stored["options"], **_QUICK_OPTIONS}}
        growth = spec.growth.model_copy(update=_QUICK_GROWTH)
        spec = spec.model_copy(update={"base": base, "growth": growth})
    _say(f"metagrid: {spec.title}")
    with SweepView() as view:
        done = make_metagrid(
            spec, folder, store, changes, on_line=_say, on_progress=view.show, **where
        )
    compared = done.compared
    curves = {label: data for (_, label), data in compared.results.items()}
    best = next(
        arm.thetas for arm in compared.figure.networks[spec.network].arms if arm.label == "BP+Oja"
    )
    paper, used = read_figure("fig1b").base, compared.figure.base
    sizes: Any = [(used[name], paper[name]) for name in ("seeds", "samples")]
    small = quick or any(now < before for now, before in sizes)
    note = (
        f"{spec.base['episodes']} episodes; b: mean of {used['seeds']} networks, shaded: 98% "
        f"bootstrap interval; c: {spec.growth.networks} networks"
    )
    note = f"SMALL VERSION; {note}" if small else note
    for suffix in ("pdf", "png"):
        write_atomically(
            folder / f"metagrid.{suffix}",
            lambda path: draw_metagrid(
                done.learned.history,
                best,
                curves,
                spec.growth.lengths,
                done.growth,
                spec.title,
                note,
                path,
            ),
            _REMEDY,
        )
    return {
        "title": spec.title,
        "small": small,
        "base": spec.base,
        "claims": compared.claims,
        "learned": done.learned.record["result"],
        "growth": {
            "lengths": list(spec.growth.lengths),
            **{label: sizes.tolist() for label, sizes in done.growth.items()},
        },
    }
