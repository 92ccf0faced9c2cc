"""What must be true of a plugin's class before it can be used, its hooks by pluggy.

This module loads no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import pluggy

from plastic_core.api.activation import Activation, ActivationSpec
from plastic_core.api.hookspecs import ProbeHooks, RuleHooks, TransformHooks
from plastic_core.api.initialisation import Initialisation, InitialisationSpec
from plastic_core.api.layer import Layer, LayerSpec
from plastic_core.api.loss import Loss, LossSpec
from plastic_core.api.observer import Observer, ObserverSpec
from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.api.specs import API_VERSION, ProbeSpec, RuleSpec, TaskSpec, TransformSpec
from plastic_core.base.errors import describe_exception, did_you_mean
from plastic_core.base.fault import Fault

Kind = Literal[
    "rule",
    "transform",
    "probe",
    "task",
    "layer",
    "activation",
    "loss",
    "initialisation",
    "observer",
]


@dataclass(frozen=True)
class Group:
    """What the plugins of one entry-point group must be."""

    base: type[Any]
    spec: type[Any]
    hooks: type[Any] | None

    @property
    def hook_names(self) -> list[str]:
        """The hooks that a plugin of this group may implement."""
        return [name for name in vars(self.hooks or object) if name.startswith("plastic_")]


GROUPS: Final[dict[Kind, Group]] = {
    "rule": Group(Rule, RuleSpec, RuleHooks),
    "transform": Group(Transform, TransformSpec, TransformHooks),
    "probe": Group(Probe, ProbeSpec, ProbeHooks),
    "task": Group(Task, TaskSpec, None),
    "layer": Group(Layer, LayerSpec, None),
    "activation": Group(Activation, ActivationSpec, None),
    "loss": Group(Loss, LossSpec, None),
    "initialisation": Group(Initialisation, InitialisationSpec, None),
    "observer": Group(Observer, ObserverSpec, None),
}

#: Of packages that hold figures as data, which are no plugins.
FIGURES_GROUP: Final = "plastic.figures"


def plural(kind: Kind) -> str:
    """Return the word for several, which names the entry-point group too."""
    return "losses" if kind == "loss" else f"{kind}s"


def any_of(words: Iterable[str]) -> str:
    """Return the words as in "rule, transform or probe"."""
    *most, last = words
    return f"{', '.join(most)} or {last}"


def no_plugin() -> str:
    """Return what is said of a file without a plugin."""
    bases = any_of(group.base.__name__ for group in GROUPS.values())
    return f"defines no {any_of(GROUPS)}; expected a subclass of plastic_core.api.{bases}"


def plugin_faults(kind: Kind, name: str, plugin: Any) -> list[Fault]:
    """Return all that keeps `plugin` from being what an entry called `name` must be."""
    group = GROUPS[kind]
    base, spec_class = group.base.__name__, group.spec.__name__
    if not (inspect.isclass(plugin) and issubclass(plugin, group.base)):
        return [
            Fault(
                f"entry point '{name}'",
                f"found {plugin!r}, which is no {kind} class",
                f"let the entry point name a subclass of plastic_core.api.{base}",
                f'{name} = "my_package:MyClass"',
            )
        ]
    cls = plugin.__name__
    faults = observer_faults(plugin) if kind == "observer" else _hook_faults(group, plugin)
    spec = getattr(plugin, "spec", None)
    if not isinstance(spec, group.spec):
        found = f"{cls}.spec is {spec!r}, no {spec_class}"
        accepted = f"write spec = {spec_class}(...) in the class"
        example = f'spec = {spec_class}(name="{name}", ...)'
        return [Fault(f"{cls}.spec", found, accepted, example), *faults]
    if spec.api != API_VERSION:
        found = (
            f"it was written for API {spec.api}, and this plastic-learning offers API {API_VERSION}"
        )
        accepted = "install versions of both that agree"
        # what else differs is no fault of this version
        return [Fault(f"{cls}.spec", found, accepted, f"api={API_VERSION}")]
    if spec.name != name:
        found = f"the entry point is called '{name}' but the spec's name is '{spec.name}'"
        faults.append(Fault(f"{cls}.spec", found, "give both the same name", f'name="{name}"'))
    try:
        plugin()
    except Exception as error:
        found = f"{cls}() raised {describe_exception(error)}"
        accepted = "let it be made without arguments"
        faults.append(Fault(f"{cls}.__init__", found, accepted, "def __init__(self):"))
    if isinstance(spec, RuleSpec):
        propagator = hasattr(plugin, "plastic_propagate_error")
        if spec.propagates != propagator:
            found = (
                f"spec.propagates is {spec.propagates}, but plastic_propagate_error is "
                f"{'implemented' if propagator else 'not implemented'}"
            )
            right = f"propagates={propagator}"
            faults.append(Fault(f"{cls}.spec", found, f"write {right}", right))
        if spec.passes == 1 and hasattr(plugin, "plastic_input"):
            found, right = "spec.passes is 1, but plastic_input is implemented", "passes=2"
            faults.append(Fault(f"{cls}.spec", found, f"write {right}", right))
        settler = hasattr(plugin, "plastic_settle")
        if (spec.settle is not None) != settler:
            is_not = "implemented" if settler else "not implemented"
            found = f"spec.settle is {spec.settle}, but plastic_settle is {is_not}"
            right = "settle=Settle(steps=20)" if settler else "settle=None"
            faults.append(Fault(f"{cls}.spec", found, f"write {right}", right))
    return faults


def observer_faults(cls: type[Any]) -> list[Fault]:
    """Return what keeps the methods of an observer from being called."""
    known = [name for name in vars(Observer) if name.startswith("on_")]
    written = [n for n in dir(cls) if n.startswith("on_") and callable(getattr(cls, n))]
    own = [name for name in written if getattr(cls, name) is not getattr(Observer, name, None)]
    example = "def on_point(self, run, point):"
    if not own:
        found = f"{cls.__name__} has no method of its own"
        return [Fault(cls.__name__, found, f"write one of {', '.join(known)}", example)]
    faults = []
    for name in own:
        place = f"{cls.__name__}.{name}"
        if name not in known:
            found = f"there is no method '{name}'{did_you_mean(name, known)}"
            faults.append(Fault(place, found, f"the methods are {', '.join(known)}", example))
            continue
        expected = inspect.signature(getattr(Observer, name)).parameters
        signature = inspect.signature(getattr(cls, name))
        try:
            signature.bind(*expected)
        except TypeError:
            taken, names = ", ".join(signature.parameters), ", ".join(expected)
            found, right = f"{place} takes ({taken}), expected ({names})", f"def {name}({names})"
            faults.append(Fault(place, found, f"write {right}", f"{right}:"))
    return faults


def _hook_faults(group: Group, cls: type[Any]) -> list[Fault]:
    if group.hooks is None:
        return []
    known = group.hook_names
    implemented = [hook for hook in dir(cls) if hook.startswith("plastic_")]
    faults = [fault for hook in implemented for fault in _faults_of_hook(group, cls, hook)]
    if not implemented:
        found, hooks = f"{cls.__name__} implements no hook", ", ".join(known)
        faults.append(Fault(cls.__name__, found, f"implement one of {hooks}", _method(group)))
    return faults


def _faults_of_hook(group: Group, cls: type[Any], hook: str) -> list[Fault]:
    known, place = group.hook_names, f"{cls.__name__}.{hook}"
    function = getattr(cls, hook)
    if hook not in known:
        found = f"there is no hook '{hook}'{did_you_mean(hook, known)}"
        return [Fault(place, found, f"the hooks are {', '.join(known)}", _method(group))]
    method = _method(group, hook)
    if not hasattr(function, "plastic_impl"):
        return [Fault(place, f"{place} lacks @hookimpl", "write @hookimpl above it", method)]
    if function.plastic_impl.get("wrapper") or function.plastic_impl.get("hookwrapper"):
        found = f"{place} is a hook wrapper, which the training loop has no place for"
        return [Fault(place, found, "write a plain hook, @hookimpl without wrapper=True", method)]
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(group.hooks or object)
    try:
        manager.register(type(cls.__name__, (), {hook: function})())
    except pluggy.PluginValidationError:
        names = ", ".join(inspect.signature(getattr(group.hooks, hook)).parameters)
        taken = ", ".join(inspect.signature(function).parameters)
        found = f"{place} takes ({taken}), expected ({names})"
        return [Fault(place, found, f"write def {hook}({names})", method)]
    return []


def _method(group: Group, hook: str | None = None) -> str:
    hook = hook or group.hook_names[-1]
    names = ", ".join(inspect.signature(getattr(group.hooks, hook)).parameters)
    return f"@hookimpl\ndef {hook}({names}):"
