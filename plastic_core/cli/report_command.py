"""``plastic report``: one page about runs and figures."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from plastic_core.base.errors import PlasticError

app = App(name="report", help="Write one self-contained page about runs and figures.")

_REMEDY = "free or allow it, or give another file with --out"


@app.default
def report_command(*folders: str, out: str = "report.html") -> None:
    """Write one self-contained page about runs and figures.

    It holds figures, claims, tables, specifications, environments and the commands that repeat
    them, and needs no network.

    Args:
        folders: of runs, from 'plastic run', and of figures, from 'plastic reproduce'.
        out: the HTML file.
    """
    from plastic_core.base.files import explained, write_atomically
    from plastic_core.experiments.reporting.report import report as report_on

    if not folders:
        raise PlasticError("report: name the folders of runs or figures, such as runs/SOME-RUN")
    if not out.endswith((".html", ".htm")):
        raise PlasticError(f"--out {out}: is no name of a page; expected one that ends in .html")
    page, file = report_on([Path(folder) for folder in folders]), Path(out)
    with explained(file, _REMEDY):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda path: path.write_text(page, encoding="utf-8"), _REMEDY)
    print(f"written to {file}")
