"""``plastic compare``: each rule of a sweep at its best theta, on points not used to choose it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from cyclopts import App

from plastic_core.base.scores import ACCURACY, heading, number
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Switch, Texts, Whole

app = App(name="compare", help="Compare the rules of a sweep, each at its best theta.")

_REMEDY = "free or allow it, or compare a copy of the folder"


@app.default
def compare_command(
    sweep: str,
    *,
    plugin: Texts = None,
    store: str | None = None,
    json: Switch = False,
    data_dir: str | None = None,
    workers: Whole | None = None,
    scheduler: str | None = None,
    slurm: str | None = None,
) -> None:
    """Compare the rules of a sweep, each at its best theta.

    The theta of each rule is the best on the choosing half of the held-out points; what is
    reported is its score on the other half. What the store lacks is trained. Writes
    compare.json and heat_map.png into the folder of the sweep.

    Args:
        sweep: the folder that 'plastic sweep' wrote.
        plugin: file with an unpackaged plugin that the sweep used; may be repeated.
        store: folder of finished networks, in place of PLASTIC_STORE.
        json: print one JSON object instead of tables.
        data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
        workers: processes, one thread each; 0 trains in this process, on all cores. Default one a
            core, but 0 where C has done it before they start.
        scheduler: address of a Dask scheduler that runs already.
        slurm: NAME=VALUE,... for jobs of SLURM, such as queue=short,walltime=01:00:00.
    """
    from plastic_core.base.files import drawn, write_json
    from plastic_core.cli.live import SweepView
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.experiments.sweeping.comparison import (
        choose,
        compare,
        read_sweep,
        reporting_arms,
    )
    from plastic_core.experiments.sweeping.sweep import sweep as sweep_it
    from plastic_core.experiments.sweeping.sweep import train_arms
    from plastic_core.results.claim import claimed
    from plastic_core.results.store import Store

    folder, cells = Path(sweep), Store(store)
    spec = read_sweep(folder, plugin or ())
    where: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "slurm": slurm,
        "data_dir": data_dir,
    }
    aside = stdout_aside() if json else contextlib.nullcontext()
    how = f"the same command goes on; what was done is in the store {cells.folder}"
    with claimed(folder), aside, interrupted_with(how):
        with SweepView() as view:
            result = sweep_it(spec, cells, **where, on_progress=view.show)
        choices = choose(spec, result)
        with SweepView() as view:
            arms = reporting_arms(choices)
            reported = train_arms(arms, cells, **where, on_progress=view.show)
        compared = compare(choices, reported)
        write_json(folder / "compare.json", compared, _REMEDY)
        notes = drawn("heat_map.png", lambda: _draw(folder, spec, result))
    if json:
        print_json(compared)
    else:
        _show(compared, folder)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _draw(folder: Path, spec: Any, result: Any) -> None:
    from plastic_core.base.files import write_atomically
    from plastic_core.experiments.sweeping.comparison import heat_map_of
    from plastic_core.figures import draw_heat_maps

    panels = {}
    for rule in dict.fromkeys(arm.arm.rule for arm in result.arms):
        panel = heat_map_of([arm for arm in result.arms if arm.arm.rule == rule])
        if panel is not None:
            panels[rule] = panel
    if panels:
        title = f"{spec.base.task}, half 'choose', mean of {spec.base.seeds} seeds"
        write_atomically(
            folder / "heat_map.png", lambda path: draw_heat_maps(panels, path, title), _REMEDY
        )


def _show(compared: dict[str, Any], folder: Path) -> None:
    from plastic_core.cli.output import print_table

    score = compared["score"]
    rows = [
        (
            row["rule"],
            _pairs({**row["conditions"], **row["thetas"]}),
            *(number(score, row[key]) for key in (score, "low", "high")),
            row["seeds"],
            row["diverged"],
            row["tried"],
        )
        for row in compared["rules"]
    ]
    headers = ("rule", "at", heading(score), "low", "high", "seeds", "diverged", "points tried")
    print_table(headers, rows)
    print("chosen on the half 'choose', reported on the half 'report'; 98% bootstrap intervals")
    for row in compared["rules"]:
        if row["at_edge"]:
            print(
                f"note: {row['rule']} is best at the edge of its grid "
                f"({', '.join(row['at_edge'])}); a wider grid may find better"
            )
    if compared["differences"]:
        difference = "difference, points" if score == ACCURACY else "difference"
        print()
        print_table(
            ("rule", "against", "where", difference, "low", "high", "wins", "p"),
            [
                (
                    d["rule"],
                    d["against"],
                    _pairs(d["conditions"]),
                    *(number(score, d[key], "+") for key in ("difference", "low", "high")),
                    f"{d['wins']} of {d['seeds']}",
                    f"{d['p']:.2g}",
                )
                for d in compared["differences"]
            ],
        )
        print("paired by seed; p: two-sided permutation test of the signs")
    for note in compared["notes"]:
        print(f"note: {note}")
    print(f"written to {folder}")


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
