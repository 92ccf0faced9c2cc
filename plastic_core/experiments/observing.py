"""The observers of a run: found, shown what they are to see, and switched off where they fail."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plastic_core.api.observer import ObservedPoint, ObservedRun, Observer, ObserverSpec
from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.base.streams import stdout_aside
from plastic_core.plan.plan import Plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.plugins.params import set_params
from plastic_core.plugins.requirements import observer_faults
from plastic_core.results.curves import Curves


def observers_of(chosen: Sequence[Observer | str], catalogue: Catalogue) -> list[Observer]:
    """Return the observers of names, and those that are made already.

    Raises:
        PlasticError: there is none of a name, one cannot be used, or what it needs is missing.
    """
    several = isinstance(chosen, Sequence) and not isinstance(chosen, str)
    if not several or not all(isinstance(one, Observer | str) for one in chosen):
        raise PlasticError(
            f"observers = {chosen!r}: expected a list of names of observers, or of observers that "
            "are made already, such as ['tensorboard', MyObserver()]"
        )
    return [
        observer_of(one, {}, catalogue) if isinstance(one, str) else _checked(one) for one in chosen
    ]


def observer_of(name: str, settings: Mapping[str, Any], catalogue: Catalogue) -> Observer:
    """Return the observer of a name, with its parameters.

    Raises:
        PlasticError: there is none, it cannot be used, what it needs is missing, or a parameter is
            wrong.
    """
    entry = catalogue.find("observer", name)
    assert entry.plugin is not None
    with stdout_aside():
        observer: Observer = entry.plugin()
    set_params(entry, observer, settings, ())
    return _checked(observer)


def _checked(observer: Observer) -> Observer:
    """Return the observer, where it can be called and all that it needs is installed."""
    cls, spec = type(observer), getattr(observer, "spec", None)
    if not isinstance(spec, ObserverSpec):
        raise PlasticError(
            f"{cls.__name__}.spec is {spec!r}, no ObserverSpec; write spec = "
            'ObserverSpec(name="my-observer", summary="...") in the class'
        )
    if faults := observer_faults(cls):
        found, accepted = faults[0].found, faults[0].accepted
        raise PlasticError(f"the observer '{spec.name}' cannot be used: {found}; {accepted}")
    for module, install in spec.requires.items():
        if find_spec(module.partition(".")[0]) is None:
            raise PlasticError(
                f"the observer '{spec.name}' needs the module {module}, which is not installed; "
                f"install it: {install}"
            )
    return observer


class Watch:
    """What the observers of one run see of it; one that raises sees no more.

    Args:
        plan: of the run.
        observers: in the order in which they are called.
        folder: of the run, or None.
        notes: of the run; that an observer failed is added.
    """

    def __init__(
        self, plan: Plan, observers: Sequence[Observer], folder: Path | None, notes: list[str]
    ) -> None:
        self._plan, self._folder, self._notes = plan, folder, notes
        self._observers = list(observers)
        self._names = {id(one): one.spec.name for one in observers}

    def on_plan(self) -> None:
        """Show the run before it is trained."""
        self._call("on_plan", lambda: (self._run(),))

    def on_point(self, curves: Curves, point: int) -> None:
        """Show what was measured at one of the points of the curves."""
        self._call("on_point", lambda: (self._run(), self._point(curves, point)))

    def on_result(self, result: dict[str, Any]) -> None:
        """Show the finished run, and its result as run.json holds it."""
        self._call("on_result", lambda: (self._run(copy.deepcopy(result)),))

    def _call(self, method: str, given: Callable[[], tuple[Any, ...]]) -> None:
        for observer in tuple(self._observers):
            seen = given()  # each has its own copies
            try:
                with contextlib.chdir("."):  # and back, wherever it goes
                    getattr(observer, method)(*seen)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an observer may do anything, and the run goes on
                self._observers = [one for one in self._observers if one is not observer]
                self._note(
                    f"observer {self._names[id(observer)]} failed at {method} "
                    f"({describe_exception(error)}) and was switched off; the run goes on"
                )

    def _note(self, line: str) -> None:
        self._notes.append(line)
        with contextlib.suppress(Exception):  # a stream that is closed, or full
            sys.stderr.write(f"note: {line}\n")

    def _run(self, result: dict[str, Any] | None = None) -> ObservedRun:
        spec = self._plan.spec
        return ObservedRun(
            self._folder,
            spec.label,
            spec.model_dump(mode="json"),
            self._plan.score.name,
            tuple(spec.seed_list),
            result,
        )

    def _point(self, curves: Curves, point: int) -> ObservedPoint:
        probes = {}
        for planned in self._plan.probes:
            for name in planned.probe.spec.measures:
                if planned.when == "every":
                    probes[name] = curves.probes[name][:, point].copy()
                elif point == len(curves.steps) - 1:
                    probes[name] = curves.probes[name].copy()
        return ObservedPoint(
            int(curves.steps[point]),
            curves.score[:, point].copy(),
            curves.loss[:, point].copy(),
            probes,
        )
