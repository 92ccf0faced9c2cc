"""``plastic store``: what the store of results holds, whether it is sound, and how to prune it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cyclopts import App

from plastic_core.base.errors import PlasticError
from plastic_core.cli.flag_types import Switch

app = App(name="store", help="List, verify and prune the store of finished networks.")


@app.default
def show(*, store: str | None = None, json: Switch = False) -> None:
    """List what the store holds, by task and rule.

    Args:
        store: its folder, in place of PLASTIC_STORE.
        json: print one JSON object instead of a table.
    """
    from plastic_core.cli.output import print_json, print_table

    found, damaged = _read(store)
    # a network that was measured by probes is there without them too
    networks = [content for _, content in found if "probes" not in content]
    counts = Counter((c["task"], " + ".join(r["name"] for r in c["rules"])) for c in networks)
    folder = str(_open(store).folder)
    if json:
        groups = [{"task": t, "rules": r, "cells": n} for (t, r), n in sorted(counts.items())]
        print_json({"store": folder, "groups": groups, "damaged": [str(f) for f, _ in damaged]})
        return
    rows = [(task, rules, n) for (task, rules), n in sorted(counts.items())]
    print_table(("task", "rules", "networks"), rows)
    print(f"{len(networks)} networks in {folder}")
    if damaged:
        print(f"{len(damaged)} damaged files: 'plastic store verify' names them")


@app.command
def verify(*, store: str | None = None) -> int:
    """Read every file of the store and name those that are damaged.

    Exit code 1: some are.

    Args:
        store: its folder, in place of PLASTIC_STORE.
    """
    found, damaged = _read(store)
    for _, reason in damaged:
        print(reason)
    print(f"{len(found)} sound, {len(damaged)} damaged")
    return 1 if damaged else 0


@app.command
def prune(
    *,
    store: str | None = None,
    damaged: Switch = False,
    outdated: Switch = False,
) -> None:
    """Remove what no run can use any more.

    Args:
        store: its folder, in place of PLASTIC_STORE.
        damaged: remove files that are no cells.
        outdated: remove networks of other versions of plastic than this one.
    """
    from importlib.metadata import version

    from plastic_core.base.files import explained

    if not (damaged or outdated):
        raise PlasticError("store prune: say what to remove: --damaged, --outdated, or both")
    found, bad = _read(store)
    ours = version("plastic-learning")
    files = [file for file, _ in bad] if damaged else []
    if outdated:
        files += [f for f, c in found if c["versions"].get("plastic-learning") != ours]
    for file in files:
        with explained(file, "allow it, or give another folder with --store"):
            file.unlink(missing_ok=True)
    print(f"removed {len(files)} of {len(found) + len(bad)} files")


def _open(folder: str | None) -> Any:
    from plastic_core.results.store import Store

    return Store(folder)


def _read(folder: str | None) -> tuple[list[tuple[Any, dict[str, Any]]], list[tuple[Any, str]]]:
    """Return the sound files with their contents, and the damaged ones with the reason."""
    store = _open(folder)
    found, damaged = [], []
    for file in store.files():
        try:
            found.append((file, store.read(file)[0]))
        except PlasticError as error:
            damaged.append((file, str(error)))
    return found, damaged
