"""Each plugin is loaded, looked at and tried; every fault gets its place in the source."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plastic_core.api.activation import Activation
from plastic_core.api.initialisation import Initialisation
from plastic_core.api.layer import Layer
from plastic_core.api.loss import Loss
from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.errors import DataError, describe_exception
from plastic_core.base.fault import Fault
from plastic_core.base.spec import SpecError
from plastic_core.plugins.requirements import Kind, plugin_faults
from plastic_core.testing.source_faults import source_faults
from plastic_core.testing.targets import Candidate, Target, find_target

_CORE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Finding:
    """A fault of one plugin, and where it is in the source.

    Attributes:
        plugin: kind and name, or nothing where the fault is the package's.
        file: relative to the folder that was checked, or to where packages are installed.
        line: counted from 1.
    """

    plugin: str
    fault: Fault
    file: str = ""
    line: int = 0


@dataclass
class Report:
    """What was checked and what was found.

    Attributes:
        title: distribution and version, or the path.
        plugins: for each plugin what it runs on, or nothing.
        notes: what could not be checked, and why.
    """

    title: str
    plugins: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Effort:
    """What is spent on a check.

    Attributes:
        compiled: whether the compiled backend is tried, which takes longest.
        limit: seconds that compiling may take for one plugin.
        say: called with what is being done.
    """

    compiled: bool = True
    limit: float = 120.0
    say: Callable[[str], Any] = lambda line: None


def check(asked: str, effort: Effort = Effort()) -> Report:
    """Check all plugins of an installed package, a folder or a file.

    Raises:
        PlasticError: there is nothing that could be checked.
    """
    target = find_target(asked)
    report = Report(target.title, findings=[Finding("", fault) for fault in target.faults])
    for number, candidate in enumerate(target.candidates, start=1):
        effort.say(f"{number} of {len(target.candidates)}: {candidate.title}")
        report.plugins[candidate.title] = ""
        report.findings += _check_one(candidate, target, report, effort)
    return report


def _check_one(
    candidate: Candidate, target: Target, report: Report, effort: Effort
) -> Iterator[Finding]:
    try:
        plugin = candidate.load()
    except BaseException as error:  # a plugin may do anything while it is imported
        yield from _import_findings(candidate, error, target)
        return
    faults = plugin_faults(candidate.kind, candidate.name, plugin)
    if not faults:
        faults = _TRIED[candidate.kind](plugin, candidate, report, effort)
    for fault in dict.fromkeys(faults):
        yield _locate(fault, candidate, plugin, target)


def _try_rule(
    rule: type[Rule], candidate: Candidate, report: Report, effort: Effort
) -> list[Fault]:
    from plastic_core.testing import rule_checks

    *others, compiled = rule_checks.RULE_CHECKS
    for first in others[:2]:
        if faults := first(rule):
            return faults
    found = _run(rule, others[2:], compiled, candidate, report, effort)
    if not found:
        report.plugins[candidate.title] = rule_checks.backends(rule, _tried(effort))
    return found


def _try_transform(
    transform: type[Transform], candidate: Candidate, report: Report, effort: Effort
) -> list[Fault]:
    from plastic_core.testing import transform_checks

    first, *others, compiled = transform_checks.TRANSFORM_CHECKS
    found = first(transform) or _run(transform, others, compiled, candidate, report, effort)
    if not found:
        report.plugins[candidate.title] = transform_checks.backends(transform, _tried(effort))
    return found


def _run(
    plugin: Any,
    checks: Sequence[Callable[[Any], list[Fault]]],
    compiled: Callable[[Any], list[Fault]],
    candidate: Candidate,
    report: Report,
    effort: Effort,
) -> list[Fault]:
    """Return the faults that the checks find, the one of the compiled backend last."""
    faults: list[Fault] = []
    for check_it in (*checks, *([compiled] if effort.compiled else [])):
        if check_it is compiled:
            effort.say(f"  {candidate.title}: compiling; --no-compiled leaves it out")
        try:
            with _at_most(effort.limit):
                faults += check_it(plugin)
        except _TooLongError:
            report.notes.append(
                f"{candidate.title}: '{check_it.__name__.replace('_', ' ')}' was given up after "
                f"{effort.limit:g} s; --limit SECONDS gives it longer"
            )
        except Exception as error:
            faults.append(_unexpected(error))
    return faults


def _tried(effort: Effort) -> Sequence[str]:
    from plastic_core.testing.backend_checks import BACKENDS  # loads torch

    return BACKENDS if effort.compiled else [name for name in BACKENDS if name != "compiled"]


class _TooLongError(BaseException):
    """A check took too long; no exception of a plugin, so that none of them catches it."""


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise _TooLongError in this thread after some seconds, where it is the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _try_probe(probe: type[Probe], *_: Any) -> list[Fault]:
    from plastic_core.testing.probe_checks import PROBE_CHECKS

    measures, *others = PROBE_CHECKS
    faults = measures(probe)
    return faults or [fault for check_it in others for fault in check_it(probe)]


def _try_task(
    task: type[Task[Any]], candidate: Candidate, report: Report, _: Effort
) -> list[Fault]:
    from plastic_core.testing.task_checks import TASK_CHECKS, TriedTask

    try:
        tried = TriedTask(task)
        faults = [fault for check_it in TASK_CHECKS[:2] for fault in check_it(tried)]
        if not faults:
            faults = [fault for check_it in TASK_CHECKS[2:] for fault in check_it(tried)]
    except DataError as error:
        report.notes.append(f"{candidate.title}: its data were not checked: {error}")
        return []
    except Exception as error:
        return [_unexpected(error)]
    return faults


def _try_layer(layer: type[Layer], candidate: Candidate, report: Report, _: Effort) -> list[Fault]:
    from plastic_core.testing import layer_checks

    for check_it in layer_checks.LAYER_CHECKS:
        if faults := check_it(layer):
            return faults
    report.plugins[candidate.title] = layer_checks.backends(layer)
    return []


def _try_activation(activation: type[Activation], *_: Any) -> list[Fault]:
    from plastic_core.testing.activation_checks import ACTIVATION_CHECKS

    shapes, *others = ACTIVATION_CHECKS
    faults = shapes(activation)
    return faults or [fault for check_it in others for fault in check_it(activation)]


def _try_loss(loss: type[Loss], *_: Any) -> list[Fault]:
    from plastic_core.testing.loss_checks import LOSS_CHECKS

    shapes, *others = LOSS_CHECKS
    faults = shapes(loss)
    return faults or [fault for check_it in others for fault in check_it(loss)]


def _try_initialisation(initialisation: type[Initialisation], *_: Any) -> list[Fault]:
    from plastic_core.testing.initialisation_checks import INITIALISATION_CHECKS

    matrices, repeatable = INITIALISATION_CHECKS
    return matrices(initialisation) or repeatable(initialisation)


def _try_observer(*_: Any) -> list[Fault]:
    """Find nothing more than what keeps it from being called: its methods may write to a server."""
    return []


_TRIED: Final[dict[Kind, Callable[[Any, Candidate, Report, Effort], list[Fault]]]] = {
    "rule": _try_rule,
    "transform": _try_transform,
    "probe": _try_probe,
    "task": _try_task,
    "layer": _try_layer,
    "activation": _try_activation,
    "loss": _try_loss,
    "initialisation": _try_initialisation,
    "observer": _try_observer,
}


def _unexpected(error: Exception) -> Fault:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_core(f.filename)]
    place = frames[0].name if frames else ""
    found = f"raised {describe_exception(error)}"
    return Fault(place, found, "expected a result for every size", "return outer(s.post, s.pre)")


def _import_findings(
    candidate: Candidate, error: BaseException, target: Target
) -> Iterator[Finding]:
    own = [
        (frame.filename, frame.lineno or 0)
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_core(frame.filename) and "importlib" not in frame.filename
    ]
    file, line = own[-1] if own else (str(candidate.source or ""), 0)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno or 0
    accepted, example = _what_to_do(error, candidate, bool(own))
    found = f"importing {candidate.target} raised {describe_exception(error)}"
    yield Finding(
        candidate.title,
        Fault(candidate.target, found, accepted, example),
        _shown(file, target),
        line,
    )
    if candidate.source is not None:
        for number, fault in source_faults(candidate.source):
            known = isinstance(error, SpecError) and fault.place.endswith(".spec")
            if not known:
                yield Finding(candidate.title, fault, _shown(str(candidate.source), target), number)


def _what_to_do(error: BaseException, candidate: Candidate, own: bool) -> tuple[str, str]:
    """Return what is accepted and an example, for what was raised on importing."""
    module = candidate.target.partition(":")[0]
    if isinstance(error, SpecError):
        spec = str(error).partition(":")[0].split()[0]
        return "write what is accepted there", _SPEC_EXAMPLES.get(spec, f"{spec}(...)")
    if isinstance(error, AttributeError) and not own:
        return "let the entry point name a class of the module", f"{module}:MyClass"
    if isinstance(error, ModuleNotFoundError):
        return "install it, and name its package in the dependencies", 'dependencies = ["scipy"]'
    if isinstance(error, SyntaxError):
        return "write valid Python", f"python -m py_compile {module.replace('.', '/')}.py"
    return "let the module be imported without raising", f'python -c "import {module}"'


_SPEC_EXAMPLES: Final = {
    "RuleSpec": 'spec = RuleSpec(name="my-rule", summary="...", equation="...", reference="...",\n'
    '    modifies="forward", reads={"post", "pre"}, theta=Theta(default=1e-4))',
    "ProbeSpec": 'spec = ProbeSpec(name="my-probe", summary="...", equation="...",\n'
    '    reference="...", measures={"my_norm": Measure(long_name="mean norm of y_l")})',
    "TaskSpec": 'spec = TaskSpec(name="my-task", summary="...", options=NetworkOptions)',
    "LayerSpec": 'spec = LayerSpec(name="my-layer", summary="...", reference="...",\n'
    '    options=MyOptions, example="my-layer 20")',
    "ActivationSpec": 'spec = ActivationSpec(name="my-activation", summary="...", equation="...",\n'
    '    reference="...")',
    "LossSpec": 'spec = LossSpec(name="my-loss", summary="...", equation="...", reference="...",\n'
    '    score=Score(name="accuracy", long_name="accuracy"), targets="classes")',
    "InitialisationSpec": 'spec = InitialisationSpec(name="my-init", summary="...", '
    'equation="...", reference="...")',
    "ObserverSpec": 'spec = ObserverSpec(name="my-observer", summary="...")',
    "Theta": "theta=Theta(default=1e-4, min=0, max=1)",
    "State": 'state={"trace": State(over="post", initial=0.0)}',
}


def _locate(fault: Fault, candidate: Candidate, plugin: Any, target: Target) -> Finding:
    """Add the name of the class to the place, and file and line of the method."""
    name = getattr(plugin, "__name__", "")
    member = fault.place.removeprefix(f"{name}.")
    method = getattr(plugin, member, plugin)
    place = f"{name}.{member}" if method is not plugin and name else fault.place
    file, line = str(candidate.source or ""), 0
    for thing in (method, plugin):
        try:
            file, line = inspect.getsourcefile(thing) or file, inspect.getsourcelines(thing)[1]
            break
        except (TypeError, OSError):
            continue
    fault = Fault(place, fault.found, fault.accepted, fault.example)
    return Finding(candidate.title, fault, _shown(file, target), line)


def _is_core(file: str) -> bool:
    return Path(file).is_relative_to(_CORE)


def _shown(file: str, target: Target) -> str:
    """Return a file relative to what was checked, or else to where packages are installed."""
    path = Path(file)
    folders = [target.folder.resolve()] if target.folder else [Path(p) for p in sys.path if p]
    for folder in folders:
        if file and path.resolve().is_relative_to(folder):
            return str(path.resolve().relative_to(folder))
    return file
