"""Packages of plugins, installed and removed by pip in a process of its own.

No plugin is loaded here, so that a broken one can always be removed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.plugins.requirements import FIGURES_GROUP, GROUPS, plural

#: The distribution that this is part of.
OURS = "plastic-learning"


def install(requirements: Sequence[str], editable: Sequence[str]) -> list[str]:
    """Install by pip and return the distributions that came.

    Args:
        requirements: names on an index, wheels, folders or URLs, as pip takes them.
        editable: folders that stay where they are, so that changes in them count at once.

    Raises:
        PlasticError: pip failed; its own message went to standard error.
    """
    asked = [*requirements, *(part for folder in editable for part in ("--editable", folder))]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        code = _pip("install", "--report", str(report), *asked)
        if code != 0:
            raise PlasticError(
                f"pip could not install {', '.join((*requirements, *editable))}; "
                "the reason stands above"
            )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [one["metadata"]["name"] for one in installed]


def uninstall(names: Sequence[str]) -> None:
    """Remove distributions by pip.

    Raises:
        PlasticError: one of them is not installed, brings no plugins, or pip failed.
    """
    known = distributions()
    for name in names:
        if normal(name) == OURS:
            raise PlasticError(
                f"{OURS} is plastic itself; 'python -m pip uninstall {OURS}' removes it"
            )
        if normal(name) not in known:
            raise PlasticError(
                f"uninstall {name}: no installed package of that name brings plugins"
                f"{did_you_mean(name, known)}\n  those that do: {listing(known - {OURS})}"
            )
    if _pip("uninstall", "--yes", *names) != 0:
        raise PlasticError(f"pip could not uninstall {', '.join(names)}; the reason stands above")


def distributions() -> set[str]:
    """Return the names of the distributions that bring plugins or figures, without loading any."""
    groups = [*(f"plastic.{plural(kind)}" for kind in GROUPS), FIGURES_GROUP]
    points = [point for group in groups for point in metadata.entry_points(group=group)]
    return {normal(point.dist.name) for point in points if point.dist}


def normal(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(*arguments: str) -> int:
    if find_spec("pip") is None:
        raise PlasticError(
            f"{sys.executable} has no pip; 'python -m ensurepip' or your package manager installs "
            "it, or use the manager's own command: a plugin is an ordinary package"
        )
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    # what pip says is not the result: it goes where messages go
    return subprocess.run(command, stdout=2, check=False).returncode
