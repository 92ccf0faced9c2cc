"""What there is to check: the plugins of an installed package, of a source folder, of a file."""

from __future__ import annotations

import functools
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from plastic_core.api.specs import NAME_PATTERN
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.base.fault import Fault
from plastic_core.plugins.plugin_file import import_file, plugins_in
from plastic_core.plugins.requirements import FIGURES_GROUP, GROUPS, Kind, no_plugin, plural

_KINDS: dict[str, Kind] = {f"plastic.{plural(kind)}": kind for kind in GROUPS}


@dataclass(frozen=True)
class Candidate:
    """One plugin to be checked.

    Attributes:
        target: what its entry point names, or the class in a file.
        load: imports it.
        source: the file that it should be in, where that is known without importing it.
    """

    kind: Kind
    name: str
    target: str
    load: Callable[[], Any]
    source: Path | None = None

    @property
    def title(self) -> str:
        """Kind and name, such as "rule oja"."""
        return f"{self.kind} {self.name}"


@dataclass
class Target:
    """What was asked to be checked, and what can be seen without importing it.

    Attributes:
        title: distribution and version, or the path.
        folder: the folder that a path is in; its files are named relative to it.
    """

    title: str
    candidates: list[Candidate]
    faults: list[Fault] = field(default_factory=list)
    folder: Path | None = None


def find_target(asked: str) -> Target:
    """Return the plugins of a distribution, of a folder with a pyproject.toml, or of a file.

    Raises:
        PlasticError: there is nothing of that name, or no plugin in it.
    """
    path = Path(asked)
    if len(path.parts) == 1 and path.suffix != ".py" and asked not in (".", ".."):
        # a folder here may have the name of an installed package: ./NAME is the folder
        installed = list(metadata.Distribution.discover(name=asked))
        if installed:
            return _of_distribution(installed[0])
    if path.is_file() and path.suffix == ".py":
        return _of_file(path)
    if path.is_dir():
        return _of_folder(path)
    known = {point.dist.name for group in _KINDS for point in _points(group) if point.dist}
    raise PlasticError(
        f"check {asked}: there is no such file or folder, and no package of that name is "
        f"installed{did_you_mean(asked, known)}\n"
        f"  installed packages with plugins: {listing(known)}"
    )


def _points(group: str) -> Iterable[metadata.EntryPoint]:
    return metadata.entry_points(group=group)


def _of_distribution(distribution: metadata.Distribution) -> Target:
    title = f"{distribution.name} {distribution.version}"
    points: dict[str, dict[str, str]] = {}
    for point in distribution.entry_points:
        points.setdefault(point.group, {})[point.name] = point.value
    target = Target(title, [])
    _take_points(target, points, "entry points", f"{distribution.name} has")
    rivals = {
        (kind, point.name): point.dist
        for group, kind in _KINDS.items()
        for point in _points(group)
        if point.dist and point.dist.name != distribution.name
    }
    for candidate in target.candidates:
        rival = rivals.get((candidate.kind, candidate.name))
        if rival:
            target.faults.append(
                Fault(
                    f"entry point '{candidate.name}'",
                    f"the {candidate.title} comes from {distribution.name} {distribution.version} "
                    f"and from {rival.name} {rival.version}",
                    "give it a name of its own; until then users must write "
                    f"{distribution.name}:{candidate.name}",
                    f'my-{candidate.name} = "{candidate.target}"',
                )
            )
    return target


def _of_folder(folder: Path) -> Target:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise PlasticError(
            f"check {folder}: the folder holds no pyproject.toml; give the folder of a package, a "
            "file such as my_rule.py, or the name of an installed package"
        )
    target = Target(str(folder), [], folder=folder)
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except ValueError as error:
        found = f"is not valid TOML: {error}"
        target.faults.append(Fault("pyproject.toml", found, "expected TOML", "[project]"))
        return target
    for place in (folder / "src", folder):
        sys.path.insert(0, str(place.resolve()))
    _take_points(target, project.get("entry-points", {}), "pyproject.toml", "it has")
    needs = [re.match(r"[\w.-]+", need) for need in project.get("dependencies", [])]
    if "plastic-learning" not in {re.sub(r"[._]", "-", n[0].lower()) for n in needs if n}:
        target.faults.append(
            Fault(
                "pyproject.toml",
                "the dependencies do not name plastic-learning",
                "name it, so that a version that fits is installed with it",
                'dependencies = ["plastic-learning"]',
            )
        )
    return target


def _of_file(path: Path) -> Target:
    target = Target(str(path), [], folder=path.parent)
    try:
        module = import_file(path)
    except BaseException as error:  # a plugin may do anything while it is imported
        failing = functools.partial(_raise, error)
        target.candidates.append(Candidate("rule", path.stem, path.name, failing, path))
        return target
    for kind, plugin in plugins_in(module):
        label = getattr(getattr(plugin, "spec", None), "name", plugin.__name__)
        target.candidates.append(
            Candidate(kind, label, plugin.__name__, functools.partial(_given, plugin), path)
        )
    if not target.candidates:
        raise PlasticError(f"check {path}: {no_plugin()}")
    return target


def _given(plugin: Any) -> Any:
    return plugin


def _raise(error: BaseException) -> Any:
    raise error


def _take_points(
    target: Target, points: Mapping[str, Mapping[str, str]], place: str, who: str
) -> None:
    """Add the entry points as candidates, and what is wrong with them as faults."""
    for group, named in points.items():
        kind = _KINDS.get(group)
        if kind is None:
            if group.startswith("plastic") and group != FIGURES_GROUP:
                groups = (*_KINDS, FIGURES_GROUP)
                target.faults.append(
                    Fault(
                        place,
                        f"there is no group '{group}'{did_you_mean(group, groups)}",
                        f"the groups are {listing(groups)}",
                        '[project.entry-points."plastic.rules"]',
                    )
                )
            continue
        for name, value in named.items():
            if not re.fullmatch(NAME_PATTERN, name):
                target.faults.append(
                    Fault(
                        f"{place}, {group}",
                        f"the name '{name}' cannot be written in a rule expression",
                        "a name begins with a letter and goes on with letters, digits, - and _",
                        'my-rule = "my_package:MyRule"',
                    )
                )
            point = metadata.EntryPoint(name, value, group)
            target.candidates.append(
                Candidate(kind, name, value, point.load, _source_of(value, target.folder))
            )
    if not target.candidates and not target.faults:
        raise PlasticError(
            f"check {target.title}: {who} no entry point in {listing(_KINDS)}, so that there is "
            "nothing to check"
        )


def _source_of(value: str, folder: Path | None) -> Path | None:
    """Return the file of an entry point's module, found without importing it."""
    parts = value.partition(":")[0].strip().split(".")
    for base in [folder / "src", folder] if folder else map(Path, sys.path):
        stem = base.joinpath(*parts)
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return file
    return None
