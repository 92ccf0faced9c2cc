"""``plastic plugins``: what is installed, from where, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from plastic_core.base.errors import PlasticError, did_you_mean
from plastic_core.cli.output import print_json, print_table
from plastic_core.plugins.catalogue import Catalogue, Entry

app = App(name="plugins", help="List the plugins; 'plugins show NAME' shows one.")


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
            print(f"\n{_fault(e)}")


@app.command
def show(name: str, *, json: bool = False) -> None:
    """Show a plugin of any kind, such as a layer, with its options.

    Args:
        name: of the plugin, or DISTRIBUTION:NAME; of several kinds all are shown.
        json: print one JSON list instead of text.
    """
    entries = Catalogue().entries(isolated=True)
    named = [e for e in entries if name in (e.name, e.qualified)]
    found = [e for e in named if e.state in ("ok", "clash")]
    if not named:
        hint = did_you_mean(name, {e.name for e in entries})
        raise PlasticError(f"there is no plugin '{name}'{hint}\n  'plastic plugins' lists them")
    if not found:
        raise PlasticError("\n".join(map(_fault, named)))
    described = [_describe(entry) for entry in found]
    if json:
        print_json(described)
        return
    for one in described:
        options = one.pop("options")
        print(f"{one.pop('kind')} {one.pop('name')}: {one.pop('summary')}\n")
        for label, value in one.items():
            print(f"  {label:<12}{value}")
        if options:
            print("\n  options:")
        for option, about in options.items():
            print(f"    {option:<12} {about}")


def _fault(e: Entry) -> str:
    return f"{e.kind} {e.qualified} ({e.state}): {e.error}\n  remedy: {e.remedy}"


def _describe(entry: Entry) -> dict[str, Any]:
    assert entry.plugin is not None
    spec: Any = entry.plugin.spec
    texts = {field: getattr(spec, field, None) for field in ("equation", "reference", "example")}
    options = getattr(spec, "options", None) or getattr(spec, "params", None)
    fields = {} if options is None else options.model_fields
    return {
        "kind": entry.kind,
        "name": entry.name,
        "summary": spec.summary,
        **{field: text for field, text in texts.items() if text},
        "from": f"{entry.distribution} {entry.version} ({entry.target})",
        **({"written": _written(entry.name, fields)} if entry.kind == "layer" else {}),
        **({} if entry.state == "ok" else {"state": entry.state}),
        "options": {
            name.replace("_", "-"): _about(info.description or "", info)
            for name, info in fields.items()
        },
    }


def _about(text: str, info: Any) -> str:
    default = info.get_default(call_default_factory=True)
    if info.is_required() or default is None:
        return text
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"{text}; default {shown}".removeprefix("; ")


def _written(name: str, fields: Any) -> str:
    required = [field.upper() for field, info in fields.items() if info.is_required()]
    return " ".join([name, *required, "[OPTION VALUE ...]"])
