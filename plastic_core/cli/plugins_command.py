"""``plastic plugins``: what is installed, from where, and what is wrong with it."""

from __future__ import annotations

from cyclopts import App

from plastic_core.cli.output import print_json, print_table
from plastic_core.plugins.catalogue import Catalogue

app = App(name="plugins", help="List installed plugins with their distribution and state.")


@app.default
def plugins(*, json: bool = False) -> None:
    """List installed plugins with their distribution and state.

    Args:
        json: print one JSON list instead of a table.
    """
    entries = Catalogue().entries(isolated=True)
    if json:
        fields = (
            "kind",
            "name",
            "distribution",
            "version",
            "target",
            "state",
            "api",
            "error",
            "remedy",
        )
        print_json([{field: getattr(entry, field) for field in fields} for entry in entries])
        return
    print_table(
        ("kind", "name", "distribution", "version", "API", "state"),
        [(e.kind, e.name, e.distribution, e.version, e.api or "?", e.state) for e in entries],
    )
    for e in entries:
        if e.error:
            print(f"\n{e.kind} {e.qualified} ({e.state}): {e.error}\n  remedy: {e.remedy}")
