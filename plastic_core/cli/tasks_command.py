"""``plastic tasks``: the tasks that can be used, with their options."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from plastic_core.api.specs import TaskSpec
from plastic_core.cli.output import print_json, print_table, usable
from plastic_core.plugins.catalogue import Catalogue, Entry

app = App(name="tasks", help="List the tasks and their options.")


@app.default
def tasks(*, json: bool = False) -> None:
    """List the tasks that can be used; their options are flags of 'plastic run'.

    Args:
        json: print one JSON list instead of a table.
    """
    entries = usable(Catalogue().entries("task", isolated=True))
    if json:
        print_json([_describe(entry) for entry in entries])
        return
    rows = []
    for entry in entries:
        name = entry.qualified if entry.state == "clash" else entry.name
        options = " ".join(
            f"--{field.replace('_', '-')}" for field in _spec(entry).options.model_fields
        )
        rows.append((name, _spec(entry).summary, options))
    print_table(("task", "summary", "options"), rows)


def _spec(entry: Entry) -> TaskSpec:
    assert entry.plugin is not None
    spec: TaskSpec = entry.plugin.spec
    return spec


def _describe(entry: Entry) -> dict[str, Any]:
    spec = _spec(entry)
    return {
        "name": entry.name,
        "summary": spec.summary,
        "options": spec.options.model_json_schema()["properties"],
        "recommended": [r.model_dump(mode="json") for r in spec.recommended],
        "distribution": entry.distribution,
        "version": entry.version,
    }
