"""``plastic tasks``: the tasks that can be used, with their options."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from plastic_core.api.specs import TaskSpec
from plastic_core.circuits.table import layer_table
from plastic_core.cli.output import print_json, print_layers, print_table, usable
from plastic_core.plan.plan import plan_network
from plastic_core.plugins.catalogue import Catalogue, Entry

app = App(name="tasks", help="List the tasks; 'tasks show NAME' shows one in full.")


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


@app.command
def show(name: str, *, net: str | None = None, json: bool = False) -> None:
    """Show one task: its network layer by layer, its data, its options.

    Args:
        name: the task's name, or DISTRIBUTION:NAME.
        net: layers in place of the task's own, such as "conv 16 5x5 / pool 2 / dense 100".
        json: print one JSON object instead of text.
    """
    catalogue = Catalogue()
    entry = catalogue.find("task", name)
    given = {} if net is None else {"net": net}
    layers = layer_table(plan_network(entry, given, catalogue)[-1])
    if json:
        print_json({**_describe(entry), "layers": [row._asdict() for row in layers]})
        return
    spec = _spec(entry)
    print(f"{entry.name}: {spec.summary}\n")
    print_layers(layers)
    print()
    for source in spec.data:
        print(f"  data     {source}")
    for one in spec.recommended:
        thetas = ", ".join(f"{rule} {theta:g}" for rule, theta in one.thetas.items())
        where = [f"{name} {value}" for name, value in one if name != "thetas" and value is not None]
        print(f"  theta    {thetas}{' for ' * bool(where)}{', '.join(where)}")
    print(f"  from     {entry.distribution} {entry.version} ({entry.target})")
    print("\n  options of plastic run:")
    for field, info in spec.options.model_fields.items():
        print(f"    --{field.replace('_', '-'):<12}{info.description or ''}")


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
        "data": list(spec.data),
        "distribution": entry.distribution,
        "version": entry.version,
    }
