"""Plugins in a single file, without a package: ``--plugin FILE`` and ``plastic check FILE``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from plastic_core.base.streams import stdout_aside
from plastic_core.plugins.requirements import GROUPS, Kind


def import_file(path: Path) -> ModuleType:
    """Import a file, ending in .py, with plugins; what it prints goes to standard error.

    Modules beside it can be imported by their names. Its folder comes last on the path, so that
    it shadows nothing.

    Raises:
        Exception: whatever importing it raises.
    """
    name = f"plastic_plugin_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with stdout_aside():
        spec.loader.exec_module(module)
    return module


def plugins_in(module: ModuleType) -> list[tuple[Kind, type[Any]]]:
    """Return the plugin classes that a module defines itself."""
    return [
        (kind, value)
        for value in vars(module).values()
        for kind, group in GROUPS.items()
        if inspect.isclass(value)
        and issubclass(value, group.base)
        and value.__module__ == module.__name__
    ]
