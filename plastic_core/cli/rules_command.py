"""``plastic rules``: the rules that can be used, and one of them in full."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from plastic_core.api.rule_facts import facts_of
from plastic_core.api.specs import RuleSpec
from plastic_core.cli.output import print_json, print_table, usable
from plastic_core.plugins.catalogue import Catalogue, Entry

app = App(name="rules", help="List the rules; 'rules show NAME' shows one in full.")


@app.default
def rules(*, json: bool = False) -> None:
    """List the rules that can be used.

    Args:
        json: print one JSON list instead of a table.
    """
    entries = usable(Catalogue().entries("rule", isolated=True))
    if json:
        print_json([_describe(entry) for entry in entries])
        return
    rows = []
    for entry in entries:
        spec = _spec(entry)
        name = entry.qualified if entry.state == "clash" else entry.name
        rows.append((name, spec.default_thetas, ", ".join(sorted(spec.modifies)), spec.summary))
    print_table(("rule", "theta", "modifies", "summary"), rows)


@app.command
def show(name: str, *, json: bool = False) -> None:
    """Show one rule: its equation, source, signals and parameters.

    Args:
        name: the rule's name, or DISTRIBUTION:NAME.
        json: print one JSON object instead of text.
    """
    entry = Catalogue().find("rule", name)
    if json:
        print_json(_describe(entry))
        return
    spec = _spec(entry)
    print(f"{entry.name}: {spec.summary}\n")
    print(f"  {spec.equation}   (times theta)\n")
    origin = f"{entry.distribution} {entry.version} ({entry.target})"
    facts = [*facts_of(spec), ("from", origin)]
    wide = max(12, *(len(label) + 2 for label, _ in facts))
    for label, value in facts:
        print(f"  {label:<{wide}}{value}")
    if spec.params is not None:
        print("\n  parameters, by --set:")
        for field, info in spec.params.model_fields.items():
            print(f"    {entry.name}.{field} = {info.default!r}   {info.description or ''}")


def _spec(entry: Entry) -> RuleSpec:
    assert entry.plugin is not None
    spec: RuleSpec = entry.plugin.spec
    return spec


def _describe(entry: Entry) -> dict[str, Any]:
    spec = _spec(entry)
    described = spec.model_dump(mode="json", exclude={"params"})
    described["modifies"], described["reads"] = sorted(spec.modifies), sorted(spec.reads)
    described["params"] = spec.params.model_json_schema()["properties"] if spec.params else {}
    return {**described, "distribution": entry.distribution, "version": entry.version}
