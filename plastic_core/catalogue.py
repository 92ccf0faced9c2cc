"""What is installed: plugins found through entry points, loaded one by one, failures isolated.

Built-in plugins come in by the same door as everybody's. This module loads no torch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Literal

import pluggy

from plastic_core.errors import PlasticError, describe_exception, did_you_mean, listing
from plastic_core.hookspecs import RuleHooks, TransformHooks
from plastic_core.plugins import Rule, Task, Transform
from plastic_core.specs import API_VERSION, RuleSpec, TaskSpec, TransformSpec

Kind = Literal["rule", "transform", "task"]


@dataclass(frozen=True)
class _Group:
    """What the plugins of one entry-point group must be."""

    base: type[Any]
    spec: type[Any]
    hooks: type[Any] | None


GROUPS: Final[dict[Kind, _Group]] = {
    "rule": _Group(Rule, RuleSpec, RuleHooks),
    "transform": _Group(Transform, TransformSpec, TransformHooks),
    "task": _Group(Task, TaskSpec, None),
}


class PluginError(PlasticError):
    """A plugin that cannot be used.

    Attributes:
        remedy: what its author, or its user, can do.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


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
    def qualified(self) -> str:
        """The name that no other distribution can take."""
        return f"{self.distribution}:{self.name}"

    def load(self) -> None:
        """Load and check the plugin; a failure is kept in `state`, `error` and `remedy`."""
        if self.state in ("ok", "failed", "disabled"):
            return
        clash = self.state == "clash"
        try:
            if self.plugin is None:
                assert self.point is not None
                with _prints_aside():
                    self.plugin = self.point.load()
            check_plugin(self.kind, self.name, self.plugin)
        except PluginError as fault:
            self.state, self.error, self.remedy = "failed", str(fault), fault.remedy
        except (Exception, SystemExit) as error:  # a plugin may do anything while it is imported
            self.state, self.error = (
                "failed",
                f"importing {self.target} raised {describe_exception(error)}",
            )
            name = self.distribution
            self.remedy = f"update or uninstall {name}, or set PLASTIC_DISABLE={name}"
        else:
            self.state = "clash" if clash else "ok"
        spec = getattr(self.plugin, "spec", None)
        self.api = getattr(spec, "api", None)


class Catalogue:
    """The rules, transforms and tasks that are installed or were handed over.

    Args:
        files: paths of single-file plugins (``--plugin``).
        rules: rule classes that are not installed, from a notebook.

    Raises:
        PlasticError: a file or class handed over is no plugin; or, with ``PLASTIC_STRICT=1``,
            any installed plugin is at fault.
    """

    def __init__(self, files: Sequence[str] = (), rules: Sequence[type[Rule]] = ()) -> None:
        self._entries = [entry for kind in GROUPS for entry in _installed(kind)]
        if inspect.isclass(rules) or not all(map(inspect.isclass, rules)):
            raise PlasticError(
                f"rules = {rules!r}: expected a list of rule classes, such as [MyRule]"
            )
        for rule in rules:
            self._hand_over("rule", rule, "local", "unregistered")
        for file in dict.fromkeys(files):
            for kind, plugin in _plugins_of_file(file):
                self._hand_over(kind, plugin, Path(file).stem, "file")
        self._mark_disabled(os.environ.get("PLASTIC_DISABLE", ""))
        self._mark_clashes()
        if os.environ.get("PLASTIC_STRICT", "") not in ("", "0"):
            faults = [e for e in self.entries() if e.state in ("failed", "clash")]
            if faults:
                raise PlasticError(
                    "PLASTIC_STRICT is set and these plugins are at fault:\n"
                    + "\n".join(f"  {e.kind} {e.qualified}: {e.error}; {e.remedy}" for e in faults)
                )

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        """Return the entries of one kind, or all, each loaded and checked, sorted by name."""
        chosen = [entry for entry in self._entries if kind in (None, entry.kind)]
        for entry in chosen:
            entry.load()
        order = list(GROUPS)
        return sorted(chosen, key=lambda e: (order.index(e.kind), e.name, e.distribution))

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
                f"there is no {kind} '{name}'{did_you_mean(name, known)}\n"
                f"  installed {kind}s: {listing(known)}\n"
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

    def _hand_over(self, kind: Kind, plugin: type[Any], distribution: str, version: str) -> None:
        spec = getattr(plugin, "spec", None)
        name = getattr(spec, "name", plugin.__name__)
        target = f"{plugin.__module__}:{plugin.__qualname__}"
        entry = Entry(kind, name, distribution, version, target, plugin=plugin)
        entry.load()
        if entry.state == "failed":
            raise PlasticError(
                f"{target} cannot be used as a {kind}: {entry.error}\n  {entry.remedy}"
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


def check_plugin(kind: Kind, name: str, plugin: Any) -> None:
    """Check that `plugin` is what an entry called `name` must be, its hooks by pluggy.

    Raises:
        PluginError: it is not; says what was found and what to write instead.
    """
    group = GROUPS[kind]
    base, spec_class = group.base.__name__, group.spec.__name__
    if not (inspect.isclass(plugin) and issubclass(plugin, group.base)):
        raise PluginError(
            f"found {plugin!r}, which is no {kind} class",
            f"let the entry point name a subclass of plastic_core.api.{base}",
        )
    spec = getattr(plugin, "spec", None)
    if not isinstance(spec, group.spec):
        raise PluginError(
            f"{plugin.__name__}.spec is {spec!r}, no {spec_class}",
            f"write spec = {spec_class}(...) in the class",
        )
    if spec.api != API_VERSION:
        raise PluginError(
            f"it was written for API {spec.api}, and this plastic-learning offers "
            f"API {API_VERSION}",
            "install versions of both that agree",
        )
    if spec.name != name:
        raise PluginError(
            f"the entry point is called '{name}' but the spec's name is '{spec.name}'",
            "give both the same name",
        )
    try:
        instance = plugin()
    except Exception as error:
        raise PluginError(
            f"{plugin.__name__}() raised {describe_exception(error)}",
            "let it be made without arguments",
        ) from error
    if group.hooks is not None:
        _check_hooks(group.hooks, instance)
    if isinstance(spec, RuleSpec):
        propagator = hasattr(plugin, "plastic_propagate_error")
        if spec.propagates != propagator:
            raise PluginError(
                f"spec.propagates is {spec.propagates}, but plastic_propagate_error is "
                f"{'implemented' if propagator else 'not implemented'}",
                f"write propagates={propagator}",
            )


def _check_hooks(hooks: type[Any], instance: Any) -> None:
    known = [hook for hook in vars(hooks) if hook.startswith("plastic_")]
    cls = type(instance)
    implemented = [hook for hook in dir(cls) if hook.startswith("plastic_")]
    for hook in implemented:
        if not hasattr(getattr(cls, hook), "plastic_impl"):
            raise PluginError(f"{cls.__name__}.{hook} lacks @hookimpl", "write @hookimpl above it")
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(hooks)
    try:
        manager.register(instance, name=cls.__name__)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = next((hook for hook in implemented if hook not in known), None)
        if unknown:
            raise PluginError(
                f"there is no hook '{unknown}'{did_you_mean(unknown, known)}",
                f"the hooks are {', '.join(known)}",
            ) from error
        hook = next(hook for hook in known if hook in str(error))
        right = inspect.signature(getattr(hooks, hook))
        names = ", ".join(right.parameters)
        found = ", ".join(inspect.signature(getattr(cls, hook)).parameters)
        raise PluginError(
            f"{cls.__name__}.{hook} takes ({found}), expected ({names})",
            f"write def {hook}({names})",
        ) from error
    if not implemented:
        raise PluginError(
            f"{cls.__name__} implements no hook", f"implement one of {', '.join(known)}"
        )
    wrappers = [h for h in implemented if getattr(cls, h).plastic_impl.get("wrapper")]
    wrappers += [h for h in implemented if getattr(cls, h).plastic_impl.get("hookwrapper")]
    if wrappers:
        raise PluginError(
            f"{cls.__name__}.{wrappers[0]} is a hook wrapper, which the training loop has no "
            "place for",
            "write a plain hook, @hookimpl without wrapper=True",
        )


def _prints_aside() -> contextlib.AbstractContextManager[Any]:
    """Send what a plugin prints at import to standard error; standard output is a result."""
    return contextlib.redirect_stdout(sys.stderr)


def _installed(kind: Kind) -> list[Entry]:
    found: dict[tuple[str, str], Entry] = {}
    for point in entry_points(group=f"plastic.{kind}s"):
        distribution = point.dist.name if point.dist else "unknown"
        version = point.dist.version if point.dist else "unknown"
        entry = Entry(kind, point.name, distribution, version, point.value, point=point)
        found.setdefault((distribution, point.name), entry)
    return list(found.values())


def _plugins_of_file(file: str) -> list[tuple[Kind, type[Any]]]:
    path = Path(file)
    if not path.is_file():
        raise PlasticError(f"--plugin {file}: there is no such file")
    name = f"plastic_plugin_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PlasticError(f"--plugin {file}: is no Python file; expected a name ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _prints_aside():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise PlasticError(
            f"--plugin {file}: importing it raised {describe_exception(error)}"
        ) from error
    found = [
        (kind, value)
        for value in vars(module).values()
        for kind, group in GROUPS.items()
        if inspect.isclass(value)
        and issubclass(value, group.base)
        and value.__module__ == name
        and hasattr(value, "spec")  # without one it is a base class of others
    ]
    if not found:
        raise PlasticError(
            f"--plugin {file}: defines no rule, transform or task; expected a subclass of "
            "plastic_core.api.Rule, Transform or Task"
        )
    return found
