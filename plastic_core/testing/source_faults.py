"""What can be said of a plugin whose module cannot be imported: its source, read as text."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from plastic_core.base.errors import did_you_mean, listing
from plastic_core.base.fault import Fault
from plastic_core.plugins.requirements import GROUPS, Group


def source_faults(file: Path) -> list[tuple[int, Fault]]:
    """Return the faults of the classes in a file, each with its line; none where it has no sense.

    Seen are misspelt hooks, hooks without their mark or with other arguments, and fields that
    a spec does not have.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []  # importing it says so, with the line
    faults = []
    for node in ast.walk(tree):
        bases = [ast.unparse(b).split(".")[-1] for b in getattr(node, "bases", [])]
        for group in GROUPS.values():
            if isinstance(node, ast.ClassDef) and group.base.__name__ in bases:
                faults += _of_class(group, node)
    return faults


def _of_class(group: Group, node: ast.ClassDef) -> list[tuple[int, Fault]]:
    faults = []
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name.startswith("plastic_"):
            faults += [(part.lineno, fault) for fault in _of_method(group, node.name, part)]
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Call):
            call = part.value
            if ast.unparse(call.func).split(".")[-1] == group.spec.__name__:
                faults += _of_spec(group, node.name, call)
    return faults


def _of_method(group: Group, cls: str, node: ast.FunctionDef) -> list[Fault]:
    place, known = f"{cls}.{node.name}", group.hook_names
    if node.name not in known:
        found = f"there is no hook '{node.name}'{did_you_mean(node.name, known)}"
        return [
            Fault(place, found, f"the hooks are {listing(known)}", f"def {known[-1]}(self, s):")
        ]
    right = [*inspect.signature(getattr(group.hooks, node.name)).parameters]
    method = f"@hookimpl\ndef {node.name}({', '.join(right)}):"
    faults = []
    if not any("hookimpl" in ast.unparse(mark) for mark in node.decorator_list):
        faults.append(Fault(place, f"{place} lacks @hookimpl", "write @hookimpl above it", method))
    taken = [argument.arg for argument in node.args.args]
    if not set(taken) <= set(right):
        found = f"{place} takes ({', '.join(taken)}), expected ({', '.join(right)})"
        accepted = f"write def {node.name}({', '.join(right)})"
        faults.append(Fault(place, found, accepted, method))
    return faults


def _of_spec(group: Group, cls: str, call: ast.Call) -> list[tuple[int, Fault]]:
    fields = group.spec.model_fields
    return [
        (
            keyword.value.lineno,
            Fault(
                f"{cls}.spec",
                f"{group.spec.__name__} has no field '{keyword.arg}'"
                f"{did_you_mean(keyword.arg, fields)}",
                f"the fields are {listing(fields)}",
                f'spec = {group.spec.__name__}(name="my-plugin", ...)',
            ),
        )
        for keyword in call.keywords
        if keyword.arg and keyword.arg not in fields
    ]
