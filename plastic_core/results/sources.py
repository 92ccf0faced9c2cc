"""What the numbers of a run depend on beside its spec: sources of plugins, and data."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

import numpy as np

from plastic_core.api.plugin import Dataset
from plastic_core.base.locks import PARSING
from plastic_core.plan.plan import Plan
from plastic_core.plugins.catalogue import Entry


def sources_of(plan: Plan, probes: bool = True) -> dict[str, str]:
    """Return the core's version, and version and digest of each plugin, by name; and of a parent.

    Args:
        plan: whose plugins they are.
        probes: whether those of the probes, which change no network, are among them.
    """
    chosen = [r.entry for r in plan.all_rules] + [t.entry for t in plan.transforms]
    found = {entry.qualified: source_of(entry) for entry in chosen}
    # of a task the network and the digest of its data say all that its helpers decide
    found[plan.task_entry.qualified] = source_of(plan.task_entry, helpers=False)
    for (kind, _), entry in plan.parts.items():
        if entry.distribution != "plastic-learning":  # those say what the core's version says
            found[f"{kind} {entry.qualified}"] = source_of(entry)
    if probes:
        found |= {f"probe {p.entry.qualified}": source_of(p.entry) for p in plan.probes}
    if plan.parent is not None:
        found["parent"] = plan.parent.digest
    return {"plastic-learning": version("plastic-learning"), **found}


def source_of(entry: Entry, helpers: bool = True) -> str:
    """Return the version of a plugin, and a digest of its module and of those that it imports.

    A package that is being written keeps its version while its rule changes. Only modules of the
    plugin's own package count, or of its own folder where it is a single file.
    """
    assert entry.plugin is not None
    digest = hashlib.sha256()
    for source in _sources(entry.plugin, entry, helpers):
        digest.update(source)
    return f"{entry.version}+{digest.hexdigest()[:12]}"


def digest_of(data: Dataset) -> str:
    """Return a digest of a task's data, so that other files are other data."""
    digest = hashlib.blake2b(digest_size=16)
    arrays = [data.inputs, data.labels, data.held_out_inputs, data.held_out_labels]
    for array in [*arrays, *(one for one in (data.part, data.held_out_part) if one is not None)]:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def _sources(plugin: type[Any], entry: Entry, helpers: bool) -> Iterator[bytes]:
    try:
        first = Path(inspect.getfile(plugin)).resolve()
        yield first.read_bytes()
    except (OSError, TypeError):  # typed into an interpreter: no file holds it
        yield repr(plugin).encode()
        return
    parts = plugin.__module__.split(".")
    package = parts[0] if len(parts) > 1 or first.name == "__init__.py" else None
    if not helpers or (package is None and entry.point is not None):
        return  # a module by itself lies among all that is installed
    base = first.parents[len(parts) - (first.name != "__init__.py")]
    seen, waiting = {first}, [first]
    while waiting:
        module = waiting.pop()
        package_of = ".".join(module.relative_to(base).parent.parts)
        for name in imported_by(module.read_bytes(), package_of):
            stem = base.joinpath(*name.split("."))
            for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                if package in (None, name.split(".")[0]) and file.is_file() and file not in seen:
                    seen.add(file)
                    waiting.append(file)
                    yield file.read_bytes()


# kept by content, for each run of a process asks again
@functools.lru_cache(maxsize=1024)
def imported_by(source: bytes, package: str) -> tuple[str, ...]:
    """Return the names of all modules that the source of one in `package` may import."""
    found: list[str] = []
    with PARSING:
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                name = resolve_name("." * node.level + name, package)
            found += [name, *(f"{name}.{alias.name}" for alias in node.names)]
    return tuple(sorted(found))
