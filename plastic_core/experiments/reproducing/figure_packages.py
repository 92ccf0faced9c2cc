"""Figures that installed packages bring, through entry points of the group ``plastic.figures``.

Such as ``zoo = "plastic_zoo.figures"``, which names a package, or a folder in one: each TOML file
in it is the whole specification of a figure, called by the entry point and the file, such as
"zoo/softhebb".
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.base.spec import SpecError
from plastic_core.base.streams import stdout_aside
from plastic_core.experiments.reproducing.figure_spec import FigureSpec
from plastic_core.plugins.isolation import InterruptError, real_interrupts
from plastic_core.plugins.requirements import FIGURES_GROUP


def names_there() -> tuple[list[str], list[str]]:
    """Return the names of all figures of packages, and a line for each package that has none."""
    names, faults = [], []
    for point in _points():
        try:
            names += [f"{point.name}/{stem}" for stem in _files_of(point)]
        except PlasticError as error:
            faults.append(str(error))
    return names, faults


def read_packaged(name: str) -> FigureSpec | None:
    """Return the specification of a figure of a package, or None where there is no such file.

    Raises:
        PlasticError: the package cannot be imported, two bring the name, or the file is at fault.
    """
    owner, _, stem = name.partition("/")
    points = [point for point in _points() if point.name == owner]
    if len(points) > 1:
        brought = [_distribution(point) for point in points]
        raise PlasticError(
            f"the figures '{owner}' come from {' and from '.join(brought)}; uninstall one, or set "
            f"PLASTIC_DISABLE={brought[0]}"
        )
    file = _files_of(points[0]).get(stem) if points else None
    if file is None:
        return None
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlasticError(f"{file}: is no TOML ({describe_exception(error)})") from None
    try:
        share_arms(content.get("networks"))
        return FigureSpec(**{**content, "name": name})
    except SpecError as error:
        raise PlasticError(f"{file}{error.faults}") from None


def share_arms(networks: Any) -> None:
    """Give networks the arms, with their thetas, of those that `thetas_of` names.

    What is no such network stays as it is, and is said where the specification is made.
    """
    for one in networks.values() if isinstance(networks, dict) else ():
        other = networks.get(one.get("thetas_of")) if isinstance(one, dict) else None
        if isinstance(other, dict) and "arms" in other:
            one["arms"] = other["arms"]


def _points() -> Iterator[EntryPoint]:
    """Yield the entry points, but of what is disabled."""
    disabled = {name.strip() for name in os.environ.get("PLASTIC_DISABLE", "").split(",")}
    for point in sorted(entry_points(group=FIGURES_GROUP)):
        if not disabled & {point.name, _distribution(point)}:
            yield point


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"


def _files_of(point: EntryPoint) -> dict[str, Traversable]:
    """Return the TOML files of an entry point by stem, in order.

    Raises:
        PlasticError: it names no package that can be imported.
    """
    try:
        with real_interrupts(), stdout_aside():
            try:
                module = import_module(point.value)
            except InterruptError:
                raise
            except BaseException as error:  # a package may do anything while it is imported
                name = _distribution(point)
                raise PlasticError(
                    f"the figures '{point.name}' of {name} cannot be read: importing {point.value} "
                    f"raised {describe_exception(error)}; update or uninstall {name}, or set "
                    f"PLASTIC_DISABLE={name}"
                ) from None
    except InterruptError:
        raise KeyboardInterrupt from None
    if not hasattr(module, "__path__"):
        raise PlasticError(
            f"the figures '{point.name}' of {_distribution(point)} cannot be read: {point.value} "
            "is a module; let the entry point name the package, a folder, that holds TOML files"
        )
    found = sorted(files(module).iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".toml"): f for f in found if f.name.endswith(".toml")}
