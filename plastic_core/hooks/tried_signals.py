"""Small random signals with which hooks are tried, and what notes which of them are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from plastic_core.api.signals import BACK, SIGNAL_NAMES, SIGNALS
from plastic_core.api.site import SITE_NAMES, Site
from plastic_core.api.specs import RuleSpec, Sizes
from plastic_core.base.errors import listing

# All different, so that no wrong shape fits by chance.
REPLICAS, EVENTS, POST, PRE, _OUT = 2, 3, 4, 5, 6

_HINTS: Final = {
    "passes": "write passes=2 in the spec",
    "input": "plastic_input alone is shown it",
    "free": "write settle=Settle(steps=20) in the spec",
    "nudged": "write settle=Settle(steps=20) in the spec",
    "phase": "plastic_settle alone is shown it",
    "below": "plastic_settle alone is shown it",
    "above": "plastic_settle alone is shown it",
}

#: Where a hook is tried that does not ask where it is called.
SOMEWHERE: Final = Site()


class HasSpec(Protocol):
    """A rule, or what was made of it."""

    @property
    def spec(self) -> RuleSpec:
        """The specification of the rule."""
        ...


class Declared(SimpleNamespace):
    """What a spec declares, as attributes; what it does not declare is explained."""

    __slots__ = ("_explained",)

    def __init__(self, kind: str, example: str, values: Mapping[Any, Any]) -> None:
        super().__init__(**values)
        self._explained = kind, example, [*values]

    def __getattr__(self, name: str) -> Any:
        kind, example, known = self._explained
        there = f"there are {listing(known)}" if known else "it declares none"
        raise AttributeError(
            f"the spec declares no {kind} '{name}', {there}; write {example.format(name)}"
        )


class TriedSignals:
    """Random signals of one rule at one projection.

    Args:
        rule: whose hook it is.
        dtype: of the signals.
        site: where it is called.

    Attributes:
        values: the signals by name, in which all sizes differ, and what else a hook may read.
        passes: the signals of the passes behind the first.
        shapes: those of the states of the rule.
        multiplied: the signals that are products which were asked for.
    """

    def __init__(self, rule: HasSpec, dtype: torch.dtype, site: Site) -> None:
        spec, source = rule.spec, torch.Generator().manual_seed(0)
        self._feedback = spec.feedback
        self.multiplied = set[str]()

        def rand(*shape: int) -> Tensor:
            return torch.rand(REPLICAS, *shape, generator=source, dtype=dtype)

        out = POST if site.is_output else _OUT  # which is the same population there
        columns = out if spec.feedback == "output" else POST
        shapes = {
            "pre": (EVENTS, PRE),
            "post": (EVENTS, POST),
            "out": (EVENTS, out),
            "one": (EVENTS, 1),
            "weight": (POST, PRE),
            "feedback": (PRE, columns),
        }
        sizes = Sizes(POST, PRE, out, columns)
        self.shapes = {name: (REPLICAS, *kind.shape(sizes)) for name, kind in spec.state.items()}

        def signals() -> dict[str, Any]:
            return {name: rand(*shapes[signal.over]) for name, signal in SIGNALS.items()}

        self.passes = [Recorder(signals()) for _ in range(spec.passes - 1)]
        states = {name: rand(*shape[1:]) for name, shape in self.shapes.items()}
        noises = {name: rand(*shapes[name]) for name in sorted(spec.noise)}
        self.values: dict[str, Any] = {
            **signals(),
            "batch": EVENTS,
            "learning": True,
            "pass_index": 0,
            **{name: getattr(site, name) for name in SITE_NAMES},
            "by_time": lambda x: x.unflatten(1, (-1, EVENTS)),
            "state": Declared("state", 'state={{"{}": State(over="post")}}', states),
            "noise": Declared("noise", 'noise={{"{}"}}', noises),
            "theta": Declared(
                "theta", 'theta={{"{}": Theta(...)}}', {name: rand(1, 1) for name in spec.thetas}
            ),
        }
        of_output = "n_L" if spec.feedback == "output" else "n_post"
        self.values |= {
            "forward": self._product("forward", "weight", "n_pre"),
            "back": self._product("back", "weight", "n_post"),
            "feed_back": self._product("feed_back", "feedback", of_output),
        }

    def _product(self, name: str, matrix: str, takes: str) -> Callable[[Tensor], Tensor]:
        """Return what multiplies a vector by a matrix, of which a rule may be wrong."""
        values = self.values
        side = values[matrix] if name == "back" else values[matrix].mT

        def multiply(v: Tensor) -> Tensor:
            if matrix == "feedback" and self._feedback is None:
                raise TypeError("s.feed_back needs feedback='layer' or 'output' in the spec")
            if not isinstance(v, Tensor) or v.shape[-1] != side.shape[1] or v.dim() != 3:
                found = list(v.shape) if isinstance(v, Tensor) else kind_of(v)
                raise TypeError(
                    f"s.{name} takes [R, K, {takes}], here [{REPLICAS}, K, {side.shape[1]}], "
                    f"and was given {found}"
                )
            if name == "back":
                for of, signal in BACK.items():
                    self.multiplied |= {signal} if v is values.get(of) else set()
            return torch.bmm(v, side)

        return multiply


class Recorder:
    """Signals that note what is read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values, self.seen, self.asked = values, set[str](), set[str]()
        self.also: Mapping[str, Any] = {}  # what is the same in all passes

    def __getattr__(self, name: str) -> Any:
        if name in SIGNAL_NAMES:
            self.seen.add(name)
        if name in SITE_NAMES:
            self.asked.add(name)
        if name not in SIGNAL_NAMES and name in self.also:
            return self.also[name]
        if name not in self.values:
            known = self.values.keys() & {
                *SIGNAL_NAMES,
                "input",
                "below",
                "above",
                "phase",
                "batch",
            }
            hint = _HINTS.get(name, f"there are {listing(known)}")
            raise AttributeError(f"there is no signal '{name}' here; {hint}")
        return self.values[name]


def trial_signals(rule: HasSpec, dtype: torch.dtype, site: Site = SOMEWHERE) -> SimpleNamespace:
    """Return small random signals in which all sizes differ, such as a hook is tried with."""
    drawn = TriedSignals(rule, dtype, site)
    first = SimpleNamespace(**drawn.values)
    first.passes = [first, *(SimpleNamespace(**one.values) for one in drawn.passes)]
    for phase in rule.spec.settle.phases if rule.spec.settle else ():
        setattr(first, phase, first)
    return first


def kind_of(value: Any) -> str:
    """Return what is said of a value of a wrong kind."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
