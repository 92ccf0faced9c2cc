"""``plastic reproduce``: a figure of the paper, with its claims judged."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cyclopts import App

from plastic_core.base.errors import PlasticError
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Switch, Whole

app = App(name="reproduce", help="Reproduce figures of the paper and judge their claims.")


@app.default
def reproduce_command(
    *figures: str,
    seeds: Whole | None = None,
    samples: Whole | None = None,
    quick: Switch = False,
    search: Switch = False,
    record: str | None = None,
    backend: str | None = None,
    out: str = "reproduced",
    store: str | None = None,
    json: Switch = False,
    data_dir: str | None = None,
    workers: Whole | None = None,
) -> None:
    """Reproduce figures of the paper, or of installed packages, and judge their claims.

    Networks that the store holds are not trained again, so that a command that was stopped goes
    on when it is given again. Leaves OUT/FIGURE/ with the figure as PDF and PNG and claims.json.

    Args:
        figures: fig1a, fig1b, fig2, fig3, fig4, fig5, fig6, fig6gh, fig7, figS1, tricks, conv,
            attention, all of them by 'all', or fig8 or metagrid, which meta-learn; and those of
            installed packages, such as zoo/abcd: without a name all are listed.
        seeds: networks of each arm, in place of the figure's, of the paper 20.
        samples: training points, in place of the figure's, of the paper 5,000.
        quick: 3 seeds and 500 points, to see that it works.
        search: choose the thetas of all arms anew, on the half for choosing.
        record: with --search: file that each choice is added to, in place of an earlier one.
        backend: how the steps are computed, as in 'plastic run'.
        out: folder of the figures' folders.
        store: folder of finished networks, in place of PLASTIC_STORE.
        json: print one JSON object on standard output, everything else on standard error.
        data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
        workers: processes, one thread each; 0 trains in this process, on all cores. Default one a
            core, but 0 where C has done it before they start.
    """
    from plastic_core.cli.live import SweepView
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.experiments.reproducing.figure_checks import plans_of
    from plastic_core.experiments.reproducing.figure_files import (
        FIGURES,
        META_FIGURES,
        figures_there,
        read_figure,
    )
    from plastic_core.experiments.reproducing.reproduce import reproduce
    from plastic_core.results.store import Store

    @contextlib.contextmanager
    def watch() -> Iterator[Callable[[Any], None]]:
        with SweepView() as view:
            yield view.show

    if not figures:
        raise PlasticError(
            f"reproduce: name a figure, such as fig1b, or several\n  {figures_there()}"
        )
    if figures == ("all",):
        # those with probes first: what they train serves the others too
        figures = tuple(sorted(FIGURES, key=lambda name: name in ("fig1a", "fig1b", "fig5")))
    for name in figures:  # a mistake shows before anything is trained
        if name not in META_FIGURES:
            plans_of(read_figure(name))
    reports, cells = {}, Store(store)
    aside = stdout_aside() if json else contextlib.nullcontext()
    how = f"the same command goes on; what was done is in the store {cells.folder}"
    with aside, interrupted_with(how):
        for name in figures:
            reports[name] = reproduce(
                name,
                out=Path(out),
                store=cells,
                seeds=seeds,
                samples=samples,
                backend=backend,
                quick=quick,
                search=search,
                record=None if record is None else Path(record),
                workers=workers,
                data_dir=data_dir,
                say=lambda line: print(line, file=sys.stderr),
                watch=watch,
            )
            _show(reports[name])
    if json:
        print_json(reports)


def _show(report: dict[str, Any]) -> None:
    _show_claims(report["claims"])
    for note in report.get("notes", ()):
        print(f"note: {note}")
    if "trained" in report:
        print(
            "differences paired by seed, with 98% bootstrap intervals; "
            f"{report['trained']} networks trained, {report['from_store']} from the store, "
            f"{report['seconds']:.0f} s"
        )
        print(f"written to {report['out']}")
    else:
        print(f"{report['seconds']:.0f} s; written to {report['out']}")


def _show_claims(claims: list[dict[str, Any]]) -> None:
    from plastic_core.experiments.reproducing.description import describe, published

    for claim in claims:
        told = published(claim)
        print(claim["text"] + (f"\n  {told}" if told else "") + f"\n  {describe(claim)}:")
        for one in claim["verdicts"]:
            print(f"  {_verdict(one)}")


def _verdict(one: dict[str, Any]) -> str:
    from plastic_core.experiments.reproducing.description import with_correction

    layer = f"layer {one['layer']}: " if "layer" in one else ""
    if one["verdict"] == "not judged":
        return f"{layer}{one['why']}: not judged"
    if not one["n"]:
        return f"{layer}no pair of networks has these numbers: {one['verdict']}"
    left_out = f", {one['left_out']} left out" if one["left_out"] else ""
    return (
        f"{layer}{one['first']:.4g} - {one['second']:.4g} = {one['difference']:+.4g} "
        f"[{one['low']:.4g}, {one['high']:.4g}], {one['wins']} of {one['n']}{left_out}: "
        f"{with_correction(one)}"
    )
