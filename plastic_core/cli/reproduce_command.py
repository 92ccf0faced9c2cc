"""``plastic reproduce``: a figure of the paper, with its claims judged."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from plastic_core.base.errors import PlasticError
from plastic_core.cli.flag_types import Switch

if TYPE_CHECKING:
    from plastic_core.experiments.reproducing.figure_spec import FigureSpec
    from plastic_core.experiments.reproducing.reproduce import Reproduced

app = App(name="reproduce", help="Reproduce a figure of the paper and judge its claims.")

_REMEDY = "free or allow it, or give another folder with --out"

# Of a small version, which says on the figure that it is small.
_QUICK = {"seeds": 3, "samples": 500, "evaluations": 5, "eval_samples": 500}


@app.default
def reproduce_command(
    figure: str,
    *,
    seeds: int | None = None,
    samples: int | None = None,
    quick: Switch = False,
    search: Switch = False,
    record: str | None = None,
    backend: str | None = None,
    out: str = "reproduced",
    store: str | None = None,
    json: Switch = False,
    data_dir: str | None = None,
    workers: int | None = None,
) -> None:
    """Reproduce a figure of the paper and judge its claims.

    Networks that the store holds are not trained again, so that a command that was stopped goes
    on when it is given again. Leaves OUT/FIGURE/ with the figure as PDF and PNG and claims.json.

    Args:
        figure: fig1a, fig1b, fig2, fig3, fig4, fig5, fig6, fig6gh, fig7, figS1, tricks, all of
            them by 'all', or fig8 or metagrid, which meta-learn.
        seeds: networks of each arm, in place of the paper's 20.
        samples: training points, in place of the paper's 5,000.
        quick: 3 seeds and 500 points, to see that it works.
        search: choose the thetas of all arms anew, on the half for choosing.
        record: with --search: file that each choice is added to, in place of an earlier one.
        backend: how the steps are computed, as in 'plastic run'.
        out: folder of the figures' folders.
        store: folder of finished networks, in place of PLASTIC_STORE.
        json: print one JSON object on standard output, everything else on standard error.
        data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
        workers: processes, one thread each; 0 trains in this process, on all cores. Default one a
            core, but 0 for a few blocks that C trains.
    """
    from plastic_core.base.files import explained
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.experiments.reproducing.figure_spec import FIGURES, META_FIGURES, read_figure
    from plastic_core.experiments.reproducing.search_record import read_choices
    from plastic_core.plan.run_spec import RunSpec
    from plastic_core.results.store import Store

    changes: dict[str, Any] = dict(_QUICK) if quick else {}
    given = {"seeds": seeds, "samples": samples, "backend": backend}
    changes |= {name: value for name, value in given.items() if value is not None}
    flags = "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
    flags += " --quick" * quick + " --search" * search
    RunSpec(**changes)  # mistakes show before anything is trained
    if record is not None and not search:
        raise PlasticError(f"--record {record}: there is no search to record; add --search")
    if record is not None:
        read_choices(Path(record))
    if workers is not None and not 0 <= workers <= 1024:
        raise PlasticError(f"--workers {workers}: expected 0 to 1024")
    if figure in META_FIGURES:
        from plastic_core.cli.reproduce_meta_command import check_flags

        check_flags(figure, {**given, "search": search, "workers": workers})
    # those with probes first: what they train serves the others too
    wanted = sorted(FIGURES, key=lambda name: name in ("fig1a", "fig1b", "fig5"))
    wanted = wanted if figure == "all" else [figure]
    figures = [read_figure(name) for name in wanted if name not in META_FIGURES]
    where: dict[str, Any] = {"workers": workers, "data_dir": data_dir}
    reports = {}
    aside = contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext()
    cells = Store(store)
    how = f"the same command goes on; what was done is in the store {cells.folder}"
    with aside, interrupted_with(how):
        for spec in figures:
            changed = spec.model_copy(update={"base": {**spec.base, **changes}})
            folder = Path(out) / spec.name
            command = f"plastic reproduce {spec.name}{flags}"
            reports[spec.name] = _make(changed, spec, folder, cells, search, record, command, where)
        for name in META_FIGURES:
            if name in wanted:
                from plastic_core.cli import reproduce_meta_command

                folder = Path(out) / name
                with explained(folder, _REMEDY):
                    folder.mkdir(parents=True, exist_ok=True)
                command = f"plastic reproduce {name}{flags}"
                reports[name] = reproduce_meta_command.make(
                    name, folder, cells, changes, quick, command, where
                )
                _show_claims(reports[name]["claims"])
                print(f"{reports[name]['seconds']:.0f} s; written to {folder}")
    if json:
        print_json(reports)


def _make(
    figure: FigureSpec,
    stored: FigureSpec,
    folder: Path,
    store: Any,
    search: bool,
    record: str | None,
    command: str,
    where: Any,
) -> dict[str, Any]:
    from plastic_core.base.files import explained, write_atomically, write_json
    from plastic_core.cli.live import SweepView
    from plastic_core.experiments.reproducing import reproduce as reproducing
    from plastic_core.experiments.reproducing.search_record import add_choices
    from plastic_core.figures import draw_figure
    from plastic_core.results.environment import environment

    begun = time.monotonic()
    with explained(folder, _REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
    choices = None
    if search:
        with SweepView() as view:
            figure, choices = reproducing.search(
                figure,
                store,
                lambda line: print(line, file=sys.stderr),
                on_progress=view.show,
                **where,
            )
        if record is not None:
            add_choices(Path(record), choices)
    print(f"{figure.name}: {figure.title}", file=sys.stderr)
    with SweepView() as view:
        done = reproducing.reproduce(figure, store, on_progress=view.show, **where)
    note = _note(figure, stored)
    for suffix in ("pdf", "png"):
        write_atomically(
            folder / f"{figure.name}.{suffix}",
            lambda path: draw_figure(figure, done.results, note, path),
            _REMEDY,
        )
    report: dict[str, Any] = {
        "format": 1,
        "figure": figure.name,
        "title": figure.title,
        "command": command,
        "environment": environment(None),
        "small": _is_small(figure, stored),
        "networks": {
            name: network.model_dump(mode="json") for name, network in figure.networks.items()
        },
        "base": figure.base,
        "claims": done.claims,
        "trained": done.progress.trained,
        "from_store": done.progress.found,
        "diverged": done.progress.diverged,
        "seconds": time.monotonic() - begun,
    }
    if choices is not None:
        report["search"] = choices
    write_json(folder / "claims.json", report, _REMEDY)
    _show(done, report, folder)
    return {**report, "out": str(folder)}


def _is_small(figure: FigureSpec, stored: FigureSpec) -> bool:
    changes: Any = [(figure.base[name], stored.base[name]) for name in ("seeds", "samples")]
    return any(now < before for now, before in changes)


def _note(figure: FigureSpec, stored: FigureSpec) -> str:
    base = figure.base
    if any(panel.kind == "images" for panel in figure.panels):
        note = f"the first of {base['seeds']} networks; each image stretched to its own range"
    else:
        note = f"mean of {base['seeds']} networks; shaded: 98% bootstrap interval, 500 resamples"
    if _is_small(figure, stored):
        note = f"SMALL VERSION, {base['samples']} training points; {note}"
    return note


def _show(done: Reproduced, report: dict[str, Any], folder: Path) -> None:
    _show_claims(done.claims)
    print(
        "differences paired by seed, with 98% bootstrap intervals; "
        f"{report['trained']} networks trained, {report['from_store']} from the store, "
        f"{report['seconds']:.0f} s"
    )
    print(f"written to {folder}")


def _show_claims(claims: list[dict[str, Any]]) -> None:
    from plastic_core.experiments.reproducing.description import describe

    for claim in claims:
        print(f"{claim['text']}\n  {describe(claim)}:")
        for one in claim["verdicts"]:
            print(f"  {_verdict(one)}")


def _verdict(one: dict[str, Any]) -> str:
    layer = f"layer {one['layer']}: " if "layer" in one else ""
    if not one["n"]:
        return f"{layer}no pair of networks has these numbers: {one['verdict']}"
    left_out = f", {one['left_out']} left out" if one["left_out"] else ""
    return (
        f"{layer}{one['first']:.4g} - {one['second']:.4g} = {one['difference']:+.4g} "
        f"[{one['low']:.4g}, {one['high']:.4g}], {one['wins']} of {one['n']}{left_out}: "
        f"{one['verdict']}"
    )
