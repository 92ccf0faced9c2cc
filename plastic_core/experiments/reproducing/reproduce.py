"""A figure of the paper made whole: networks trained, claims judged, drawn, and reported."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import write_json
from plastic_core.experiments.reproducing.drawing import draw_to
from plastic_core.experiments.reproducing.figure_checks import check_search, plans_of, sizes_of
from plastic_core.experiments.reproducing.figure_files import META_FIGURES, read_figure
from plastic_core.experiments.reproducing.figure_spec import FigureSpec
from plastic_core.experiments.reproducing.meta_figure import report_meta_figure
from plastic_core.experiments.reproducing.metagrid import report_metagrid
from plastic_core.experiments.reproducing.reproduced import Watch, train_and_judge
from plastic_core.experiments.reproducing.search_record import add_choices, read_choices
from plastic_core.experiments.reproducing.theta_search import search as search_thetas
from plastic_core.plan.run_spec import RunSpec
from plastic_core.results.claim import claimed
from plastic_core.results.environment import environment
from plastic_core.results.store import Store

_REMEDY: Final = "free or allow it, or give another folder with --out"

# Of a small version, which says on the figure that it is small.
_QUICK: Final = {"seeds": 3, "samples": 500, "evaluations": 5, "eval_samples": 500}

# Of the flags of 'plastic reproduce' that change what is computed, those that a figure takes.
_TAKES: Final = {"fig8": ("seeds",), "metagrid": ("seeds", "samples", "backend", "workers")}


def reproduce(
    name: str,
    *,
    out: Path = Path("reproduced"),
    store: Store | None = None,
    seeds: int | None = None,
    samples: int | None = None,
    backend: str | None = None,
    quick: bool = False,
    search: bool = False,
    record: Path | None = None,
    workers: int | None = None,
    data_dir: str | None = None,
    say: Callable[[str], Any] = lambda line: None,
    watch: Watch = lambda: contextlib.nullcontext(lambda progress: None),
) -> dict[str, Any]:
    """Make a figure of the paper or of a package, judge its claims, and return the report.

    Networks that the store holds are not trained again. Leaves OUT/NAME/ with the figure as PDF
    and PNG, and claims.json with the report.

    Args:
        name: of the figure, such as "fig1b"; of that of a package such as "zoo/abcd".
        out: folder of the figures' folders.
        store: of finished networks, read first and added to; None for the user's own.
        seeds: networks of each arm, in place of the figure's.
        samples: training points, in place of the figure's.
        backend: how the steps are computed.
        quick: 3 seeds and 500 points, to see that it works.
        search: choose the thetas of all arms anew, on the half for choosing.
        record: with `search`, the file that each choice is added to.
        workers: processes, one thread each; 0 trains in this process, on all cores.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        say: called with what is being done.
        watch: gives what is called with the progress of the networks, as a context.

    Raises:
        PlasticError: anything wrong with the arguments, the data, the store or the folder.
    """
    given = {"seeds": seeds, "samples": samples, "backend": backend}
    changes: dict[str, Any] = dict(_QUICK) if quick else {}
    changes |= {flag: value for flag, value in given.items() if value is not None}
    check_arguments(name, given, changes, search, record, workers)
    cells, folder, begun = store or Store(), out / name, time.monotonic()
    flags = "".join(f" --{flag} {value}" for flag, value in given.items() if value is not None)
    flags += " --quick" * quick + " --search" * search
    where = {"workers": workers, "data_dir": data_dir}
    with claimed(folder):
        if name == "fig8":
            made = report_meta_figure(name, folder, changes, quick, data_dir, say)
        elif name == "metagrid":
            made = report_metagrid(folder, cells, changes, quick, where, say, watch)
        else:
            made = _report(
                read_figure(name), changes, folder, cells, search, record, where, say, watch
            )
        report = {
            "format": 1,
            "figure": name,
            "command": f"plastic reproduce {name}{flags}",
            "environment": environment(None),
            **made,
            "seconds": time.monotonic() - begun,
        }
        write_json(folder / "claims.json", report, _REMEDY)
    return {**report, "out": str(folder)}


def check_arguments(
    name: str,
    given: dict[str, Any],
    changes: dict[str, Any],
    search: bool,
    record: Path | None,
    workers: int | None,
) -> None:
    """Check what can be wrong before anything is trained.

    Raises:
        PlasticError: there is no such figure, it is at fault, or something does not apply to it.
    """
    RunSpec(**changes)
    if record is not None and not search:
        raise PlasticError(f"--record {record}: there is no search to record; add --search")
    if record is not None:
        read_choices(record)
    if workers is not None and not 0 <= workers <= 1024:
        raise PlasticError(f"--workers {workers}: expected 0 to 1024")
    if name not in META_FIGURES:
        figure = read_figure(name)
        plans_of(figure.model_copy(update={"base": {**figure.base, **changes}}))
        if search:
            check_search(figure)
        return
    for flag, value in {**given, "search": search, "workers": workers}.items():
        if flag not in _TAKES[name] and value not in (None, False):
            raise PlasticError(
                f"--{flag} does not apply to {name}; it takes --quick, "
                + ", ".join(f"--{one}" for one in _TAKES[name])
            )


def _report(
    stored: FigureSpec,
    changes: dict[str, Any],
    folder: Path,
    store: Store,
    search: bool,
    record: Path | None,
    where: dict[str, Any],
    say: Callable[[str], Any],
    watch: Watch,
) -> dict[str, Any]:
    """Make a figure that compares networks; return what is reported of it."""
    figure = stored.model_copy(update={"base": {**stored.base, **changes}})
    choices = None
    if search:
        with watch() as show:
            figure, choices = search_thetas(figure, store, say, on_progress=show, **where)
        if record is not None:
            add_choices(record, choices)
    say(f"{figure.name}: {figure.title}")
    with watch() as show:
        done = train_and_judge(figure, store, on_progress=show, **where)

    def draw(path: Path) -> None:
        from plastic_core.figures import draw_figure

        draw_figure(done.figure, done.results, _note(done.figure, stored), path)

    draw_to(folder, folder.name, draw)
    return {
        "title": figure.title,
        "small": _is_small(figure, stored),
        "networks": {
            name: network.model_dump(mode="json") for name, network in figure.networks.items()
        },
        "base": figure.base,
        "claims": done.claims,
        "notes": done.notes,
        "trained": done.progress.trained,
        "from_store": done.progress.found,
        "diverged": done.progress.diverged,
        **({} if choices is None else {"search": choices}),
    }


def _is_small(figure: FigureSpec, stored: FigureSpec) -> bool:
    sizes = zip(sizes_of(figure), sizes_of(stored), strict=True)
    return any(now < before for now, before in sizes)


def _note(figure: FigureSpec, stored: FigureSpec) -> str:
    seeds, samples = sizes_of(figure)
    if any(panel.kind == "images" for panel in figure.panels):
        note = f"the first of {seeds} networks; each image stretched to its own range"
    else:
        note = f"mean of {seeds} networks; shaded: 98% bootstrap interval, 500 resamples"
        if any(panel.kind == "filters" for panel in figure.panels):
            note += "; filters: of the first network"
    if _is_small(figure, stored):
        note = f"SMALL VERSION, {samples} training points; {note}"
    return note
