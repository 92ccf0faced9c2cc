"""What is installed: plugins found through entry points, loaded one by one, failures isolated.

Built-in plugins come in by the same door as everybody's. This module loads no torch.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Literal, get_args

from plastic_core.api.activation import Activation
from plastic_core.api.initialisation import Initialisation
from plastic_core.api.layer import Layer
from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import PartKind
from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.errors import PlasticError, describe_exception, did_you_mean, listing
from plastic_core.base.streams import stdout_aside
from plastic_core.plugins.isolation import (
    InterruptError,
    fail_those_that_end_the_process,
    real_interrupts,
)
from plastic_core.plugins.plugin_file import import_file, plugins_in
from plastic_core.plugins.requirements import GROUPS, Kind, any_of, no_plugin, plugin_faults, plural

# Its own plugins need not be tried.
_OURS: Final = "plastic-learning"

# Kinds that a command takes by a flag of their name.
_FLAGS: Final = ("transform", "probe", "task")

#: What a network is made of.
Part = Layer | Activation | Loss | Initialisation

#: The version of classes that were handed over.
UNREGISTERED: Final = "unregistered"


@dataclass
class Entry:
    """One plugin: where it comes from, and its state once it was looked at.

    Attributes:
        state: "ok", "failed", "disabled" or "clash".
        error: what is wrong, if anything.
        remedy: what to do about it.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    target: str
    state: Literal["unread", "ok", "failed", "disabled", "clash"] = "unread"
    error: str = ""
    remedy: str = ""
    api: int | None = None
    point: EntryPoint | None = field(default=None, repr=False)
    plugin: type[Any] | None = field(default=None, repr=False)

    @property
    def handed_over(self) -> bool:
        """Whether it is a class that no other process could find."""
        return self.version == UNREGISTERED

    @property
    def qualified(self) -> str:
        """The name that no other distribution can take."""
        return f"{self.distribution}:{self.name}"

    def load(self) -> None:
        """Load and check the plugin; a failure is kept in `state`, `error` and `remedy`."""
        if self.state in ("ok", "failed", "disabled"):
            return
        try:
            with real_interrupts(), stdout_aside():
                self._load()
        except InterruptError:
            raise KeyboardInterrupt from None

    def _load(self) -> None:
        clash = self.state == "clash"
        try:
            if self.plugin is None:
                assert self.point is not None
                self.plugin = self.point.load()
            faults = plugin_faults(self.kind, self.name, self.plugin)
            self.api = getattr(getattr(self.plugin, "spec", None), "api", None)
        except InterruptError:
            raise
        except BaseException as error:  # a plugin may do anything while it is imported
            self.plugin = None
            self.fail(f"importing {self.target} raised {describe_exception(error)}")
        else:
            self.state = "clash" if clash else "ok"
            if faults:
                self.state, self.error = "failed", faults[0].found
                self.remedy = faults[0].accepted

    def fail(self, error: str) -> None:
        """Say that the plugin cannot be loaded."""
        name = self.distribution
        self.state, self.error = "failed", error
        self.remedy = f"update or uninstall {name}, or set PLASTIC_DISABLE={name}"


class Catalogue:
    """The plugins that are installed or were handed over.

    Args:
        files: paths of single-file plugins (``--plugin``).
        rules: rule classes that are not installed, from a notebook.
        probes: probe classes likewise.
        transforms: transform classes likewise.
        tasks: task classes likewise.
        parts: classes of layers, activation functions, initialisations and losses likewise.

    Raises:
        PlasticError: a file or class handed over is no plugin; or, with ``PLASTIC_STRICT=1``,
            any installed plugin is at fault.
    """

    def __init__(
        self,
        files: Sequence[str] = (),
        rules: Sequence[type[Rule]] = (),
        probes: Sequence[type[Probe]] = (),
        transforms: Sequence[type[Transform]] = (),
        tasks: Sequence[type[Task[Any]]] = (),
        parts: Sequence[type[Part]] = (),
    ) -> None:
        self._entries = _installed()
        given: tuple[tuple[Kind, Sequence[type[Any]]], ...] = (
            ("rule", rules),
            ("probe", probes),
            ("transform", transforms),
            ("task", tasks),
        )
        for kind, classes in given:
            if inspect.isclass(classes) or not all(map(inspect.isclass, classes)):
                raise PlasticError(
                    f"{plural(kind)} = {classes!r}: expected a list of {kind} classes, such as "
                    f"[My{kind.title()}]"
                )
            for one in classes:
                self._hand_over(kind, one, "local", UNREGISTERED)
        for kind, part in _kinds_of(parts):
            self._hand_over(kind, part, "local", UNREGISTERED)
        self._files: dict[str, list[str]] = {}
        for file in dict.fromkeys(files):
            found = _plugins_of_file(file)
            for kind, plugin in found:
                self._hand_over(kind, plugin, Path(file).stem, "file")
            self._files[file] = [f"the {kind} '{plugin.spec.name}'" for kind, plugin in found]
        self._mark_disabled(os.environ.get("PLASTIC_DISABLE", ""))
        self._mark_clashes()
        if os.environ.get("PLASTIC_STRICT", "") not in ("", "0"):
            faults = [e for e in self.entries() if e.state in ("failed", "clash")]
            if faults:
                raise PlasticError(
                    "PLASTIC_STRICT is set and these plugins are at fault:\n"
                    + "\n".join(f"  {e.kind} {e.qualified}: {e.error}; {e.remedy}" for e in faults)
                )

    def entries(self, kind: Kind | None = None, isolated: bool = False) -> list[Entry]:
        """Return the entries of one kind, or all, each loaded and checked, sorted by name.

        Args:
            kind: None for all.
            isolated: load those of others in a child process first, so that one that ends the
                process is found out; where no thread runs yet.
        """
        chosen = [entry for entry in self._entries if kind in (None, entry.kind)]
        if isolated:
            fail_those_that_end_the_process(
                [e for e in chosen if e.state in ("unread", "clash") and e.distribution != _OURS]
            )
        for entry in chosen:
            entry.load()
        order = list(GROUPS)
        return sorted(chosen, key=lambda e: (order.index(e.kind), e.name, e.distribution))

    def names(self, kind: Kind) -> list[str]:
        """Return the names that are taken, without loading anything."""
        return [entry.name for entry in self._entries if entry.kind == kind]

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the entry of that name, which may be written ``distribution:name``.

        Raises:
            PlasticError: there is none of that name, two distributions bring it, or it is
                disabled or at fault.
        """
        entries = [entry for entry in self._entries if entry.kind == kind]
        found = [entry for entry in entries if name in (entry.name, entry.qualified)]
        if not found:
            known = {entry.name for entry in entries}
            raise PlasticError(
                f"there is no {kind} '{name}'{self._elsewhere(name) or did_you_mean(name, known)}\n"
                f"{self._of_files()}"
                f"  installed {plural(kind)}: {listing(known)}\n"
                f"  'plastic plugins' shows where each comes from"
            )
        entry = next((e for e in found if e.state != "disabled"), found[0])
        if entry.state == "clash" and name != entry.qualified:
            raise PlasticError(f"{entry.error}; {entry.remedy}")
        entry.load()
        if entry.state == "disabled":
            raise PlasticError(f"the {kind} '{name}' is {entry.error}; {entry.remedy}")
        if entry.state == "failed":
            raise PlasticError(
                f"the {kind} '{name}' of {entry.distribution} cannot be used: {entry.error}\n"
                f"  {entry.remedy}"
            )
        return entry

    def _elsewhere(self, name: str) -> str:
        """Return which kind has this name, and how it is asked for, or nothing."""
        for entry in self._entries:
            if name in (entry.name, entry.qualified):
                flag = f", written --{entry.kind} {name}"
                return f"; {name} is of the kind {entry.kind}" + flag * (entry.kind in _FLAGS)
        return ""

    def class_of(self, kind: Kind, name: str) -> Any:
        """Return the class of that name; see `find`."""
        return self.find(kind, name).plugin

    def _of_files(self) -> str:
        """Return a line for each file that was given, with the plugins that it defines."""
        return "".join(
            f"  --plugin {file} defines {listing(names)}\n" for file, names in self._files.items()
        )

    def _hand_over(self, kind: Kind, plugin: type[Any], distribution: str, version: str) -> None:
        spec = getattr(plugin, "spec", None)
        name = getattr(spec, "name", plugin.__name__)
        target = f"{plugin.__module__}:{plugin.__qualname__}"
        entry = Entry(kind, name, distribution, version, target, plugin=plugin)
        # a class that is installed too is no rival of itself
        same = [e for e in self._entries if (e.kind, e.name, e.target) == (kind, name, target)]
        if same:
            entry = same[0]
            self._entries.remove(entry)
            entry.plugin = plugin
        entry.load()
        if entry.state == "failed":
            article = "an" if kind[0] in "aio" else "a"
            raise PlasticError(
                f"{target} cannot be used as {article} {kind}: {entry.error}\n  {entry.remedy}"
            )
        self._entries.append(entry)

    def _mark_disabled(self, disable: str) -> None:
        names = {name.strip() for name in disable.split(",")}
        for entry in self._entries:
            if names & {entry.name, entry.distribution, entry.qualified}:
                entry.state, entry.error = "disabled", "disabled by PLASTIC_DISABLE"
                entry.remedy = "take it out of PLASTIC_DISABLE to use it"

    def _mark_clashes(self) -> None:
        for entry in self._entries:
            rivals = [
                e
                for e in self._entries
                if (e.kind, e.name) == (entry.kind, entry.name) and e.state != "disabled"
            ]
            if len(rivals) > 1 and entry in rivals:
                entry.state = "clash"
                entry.error = f"the {entry.kind} '{entry.name}' comes from " + " and from ".join(
                    f"{e.distribution} {e.version}" for e in rivals
                )
                entry.remedy = "write " + " or ".join(e.qualified for e in rivals)


def _kinds_of(parts: Sequence[type[Part]]) -> list[tuple[Kind, type[Part]]]:
    found: list[tuple[Kind, type[Part]]] = []
    for part in () if inspect.isclass(parts) else parts:
        for kind in get_args(PartKind):
            if inspect.isclass(part) and issubclass(part, GROUPS[kind].base):
                found.append((kind, part))
    if inspect.isclass(parts) or len(found) < len(parts):
        raise PlasticError(
            f"parts = {parts!r}: expected a list of classes of a {any_of(get_args(PartKind))}, "
            "such as [MyLayer]"
        )
    return found


@functools.cache
def installed(kind: Kind, name: str) -> Any:
    """Return the class of an installed plugin, for networks that are made without a plan.

    Raises:
        PlasticError: as `Catalogue.find`.
    """
    return Catalogue().class_of(kind, name)


def _installed() -> list[Entry]:
    """Return the entries of all kinds, none of them looked at yet."""
    # a folder's time changes as something is installed into it, or removed
    folders = tuple((path, _changed(path or os.curdir)) for path in sys.path)
    return [
        Entry(kind, point.name, distribution, version, point.value, point=point)
        for kind, distribution, version, point in _points(folders, tuple(sys.meta_path))
    ]


def _changed(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=1)
def _points(
    folders: tuple[tuple[str, int | None], ...], finders: tuple[Any, ...]
) -> list[tuple[Kind, str, str, EntryPoint]]:
    """Return kind, distribution, version and entry point of all that these folders hold.

    The metadata of all distributions are read, those that bring no plugins too, so that it is done
    once as long as nothing changes.
    """
    points = entry_points()
    known: dict[Distribution | None, tuple[str, str]] = {None: ("unknown", "unknown")}
    found: dict[tuple[str, str, str], tuple[Kind, str, str, EntryPoint]] = {}
    for kind in GROUPS:
        for point in points.select(group=f"plastic.{plural(kind)}"):
            if point.dist and point.dist not in known:
                metadata = point.dist.metadata
                known[point.dist] = metadata["Name"], metadata["Version"]
            distribution, version = known[point.dist]
            found.setdefault((kind, distribution, point.name), (kind, distribution, version, point))
    return list(found.values())


def _plugins_of_file(file: str) -> list[tuple[Kind, type[Any]]]:
    path = Path(file)
    if not path.is_file():
        raise PlasticError(f"--plugin {file}: there is no such file")
    if path.suffix != ".py":
        raise PlasticError(f"--plugin {file}: is no Python file; expected a name ending in .py")
    try:
        with real_interrupts():
            try:
                module = import_file(path)
            except InterruptError:
                raise
            except BaseException as error:
                raise PlasticError(
                    f"--plugin {file}: importing it raised {describe_exception(error)}"
                ) from error
    except InterruptError:
        raise KeyboardInterrupt from None
    # without a spec a class is a base of others
    found = [(kind, value) for kind, value in plugins_in(module) if hasattr(value, "spec")]
    if not found:
        raise PlasticError(f"--plugin {file}: {no_plugin()}")
    return found
