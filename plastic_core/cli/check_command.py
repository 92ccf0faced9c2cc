"""``plastic check``: all faults of a package at once, with what to write instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cyclopts import App

from plastic_core.base.errors import PlasticError
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Switch
from plastic_core.cli.output import print_json

if TYPE_CHECKING:
    from plastic_core.testing.inspection import Finding, Report

app = App(name="check", help="Check the plugins of a package, a folder or a file.")


@app.default
def check_command(
    target: str, *, no_compiled: Switch = False, limit: float = 120, json: Switch = False
) -> int:
    """Check the plugins of a package, a folder or a file.

    Exit code 0: no fault; 1: faults; 2: there is nothing that could be checked.

    Args:
        target: an installed package, the folder of one with its pyproject.toml, or a .py file.
        no_compiled: leave the compiled backend out, which takes longest.
        limit: seconds that one check may take; what takes longer is given up, with a note.
        json: print one JSON object instead of text.
    """
    from plastic_core.testing.inspection import Effort, check

    if not limit > 0:
        raise PlasticError(f"--limit {limit:g}: expected a number above 0")
    effort = Effort(not no_compiled, limit, lambda line: print(line, file=sys.stderr))
    with stdout_aside():  # what plugins print is no result
        report = check(target, effort)
    if json:
        print_json(_as_json(report))
    else:
        _show(report)
    return 1 if report.findings else 0


def _show(report: Report) -> None:
    count = len(report.findings)
    names = f" in {', '.join(report.plugins)}" if report.plugins else ""
    print(f"{report.title}: {count or 'no'} fault{'' if count == 1 else 's'}{names}")
    for finding in report.findings:
        print(f"\n{_where(finding)}")
        fault = finding.fault
        for label, text in (
            ("found", fault.found),
            ("accepted", fault.accepted),
            ("example", fault.example),
        ):
            lines = text.splitlines() or [""]
            print(f"  {label:<10}{lines[0]}", *(f"{'':<12}{line}" for line in lines[1:]), sep="\n")
    for plugin, backends in report.plugins.items():
        if backends:
            print(f"  {plugin}: runs on {backends}")
    for note in report.notes:
        print(f"note: {note}")


def _where(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    parts = (finding.plugin, f"{finding.file}{line}", finding.fault.place)
    return ", ".join(part for part in parts if part)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "target": report.title,
        "plugins": report.plugins,
        "faults": [
            {
                "plugin": finding.plugin,
                "file": finding.file,
                "line": finding.line,
                "place": finding.fault.place,
                "found": finding.fault.found,
                "accepted": finding.fault.accepted,
                "example": finding.fault.example,
            }
            for finding in report.findings
        ],
        "notes": report.notes,
    }
