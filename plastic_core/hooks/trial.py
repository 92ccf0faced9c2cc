"""Every hook is called once on small random signals, before training begins.

That shows what it really reads (so that nothing else is computed), and finds wrong shapes,
undeclared reads and modified inputs, all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.signals import PRODUCT_NAMES
from plastic_core.api.site import SITE_NAMES, Site
from plastic_core.api.update import Decay, Dense, Outer, Update, as_update
from plastic_core.base.errors import describe_exception, line_of, listing
from plastic_core.base.fault import Fault
from plastic_core.hooks.tried_signals import (
    EVENTS,
    POST,
    PRE,
    REPLICAS,
    SOMEWHERE,
    HasSpec,
    Recorder,
    TriedSignals,
    kind_of,
)

_OUTER: Final = "return outer(s.post, s.pre)"
_EXAMPLES: Final = {
    "plastic_forward": "return torch.bmm(s.pre, s.weight.mT)",
    "plastic_settle": "return s.z + 0.1 * (s.below + s.above - s.z)",
    "plastic_input": "return s.input + s.feedback_error",
    "plastic_propagate_error": "return s.weight_error",
    "plastic_local_update": _OUTER,
}
_STATE_SHAPES: Final = {
    "post": "[R, 1, n_post]",
    "pre": "[R, 1, n_pre]",
    "one": "[R, 1, 1]",
    "weight": "[R, n_post, n_pre]",
    "feedback": "that of B",
    "post*post": "[R, n_post, n_post]",
    "post*output": "[R, n_post, n_L]",
}
_STATE: Final = 'return outer(s.post, s.pre), {"threshold": new}'


class Trial:
    """Calls of one hook of a rule on small random signals.

    Args:
        rule: whose hook it is.
        dtype: of the signals.
        site: where it is called.

    Attributes:
        values: the signals by name, in which all sizes differ.
        faults: what was found wrong; each place is the name of a hook.
        repeatable: whether the hook gave the same for the same signals, drawing nothing.
        asked: what the hook asked about where it is called, of `SITE_NAMES`.
        passes: the signals of the passes behind the first.
    """

    def __init__(self, rule: HasSpec, dtype: torch.dtype, site: Site = SOMEWHERE) -> None:
        self.spec, self._dtype = rule.spec, dtype
        self.asked = set[str]()
        self.faults: list[Fault] = []
        self.repeatable = True
        drawn = TriedSignals(rule, dtype, site)
        self.values, self.passes, self._drawn = drawn.values, drawn.passes, drawn

    def tried(self, hook: str, function: Callable[..., Any]) -> frozenset[str]:
        """Try a hook; return the signals that it read."""
        methods = {
            "plastic_forward": self.forward,
            "plastic_input": self.input,
            "plastic_propagate_error": self.propagate,
            "plastic_settle": self.settle,
            "plastic_local_update": self.local,
        }
        return methods[hook](function)

    @property
    def later(self) -> tuple[frozenset[str], ...]:
        """The signals that a local update read of the passes behind the first."""
        return tuple(frozenset(one.seen) for one in self.passes)

    def input(self, function: Callable[..., Any]) -> frozenset[str]:
        """Try `plastic_input`; return the signals that it read."""
        hook, shape = "plastic_input", (REPLICAS, EVENTS, PRE)
        self.values |= {"input": self.values["pre"].clone(), "pass_index": 1}
        called = self._call(hook, function)
        if called is None:
            return frozenset()
        if called[0] is not None:
            self._check(hook, "the input", called[0], shape, "[R, K, n_0]", _EXAMPLES[hook])
        return called[1] - {"target"}

    def forward(self, function: Callable[..., Any]) -> frozenset[str]:
        """Try `plastic_forward`, where the network learns and where it does not."""
        known = ("pre", "weight", "batch", "state", "noise", "theta", *SITE_NAMES, *PRODUCT_NAMES)
        self.values = {k: self.values[k] for k in known if k in self.values}
        hook = "plastic_forward"
        shown = [(True, index) for index in range(self.spec.passes)]
        for learning, index in [*shown, (False, 0)]:
            self.values |= {"learning": learning, "pass_index": index}
            called = self._call(hook, function)
            if called is not None and called[0] is not None:
                shape = (REPLICAS, EVENTS, POST)
                self._check(hook, "z", called[0], shape, "[R, K, n_post]", _EXAMPLES[hook])
        return frozenset()

    def settle(self, function: Callable[..., Any]) -> frozenset[str]:
        """Try `plastic_settle`, in each phase."""
        hook, shape = "plastic_settle", (REPLICAS, EVENTS, POST)
        every = ("z", "target", "weight", "batch", "learning", "state", "noise", "theta")
        known = (*every, *SITE_NAMES, *PRODUCT_NAMES)
        post = self.values["post"]
        self.values = {k: self.values[k] for k in known if k in self.values}
        self.values |= {"below": post.clone(), "above": post * 0.5}
        assert self.spec.settle is not None
        # a network that is evaluated settles in the first phase, and knows no target
        phases = [(phase, True) for phase in self.spec.settle.phases]
        for phase, learning in [*phases, (phases[0][0], False)]:
            self.values |= {"phase": phase, "learning": learning}
            if not learning:
                del self.values["target"]
            called = self._call(hook, function)
            result = called[0] if called else None
            for value in result if isinstance(result, tuple) else (result,) if called else ():
                self._check(hook, "z", value, shape, "[R, K, n_post]", _EXAMPLES[hook])
        return frozenset()

    def propagate(self, function: Callable[..., Any]) -> frozenset[str]:
        """Try `plastic_propagate_error`; return the signals that it read."""
        hook = "plastic_propagate_error"
        del self.values["pre_error"]  # which this hook is to give
        called = self._call(hook, function)
        if called is None:
            return frozenset()
        shape = (REPLICAS, EVENTS, PRE)
        self._check(hook, "the error", called[0], shape, "[R, K, n_pre]", _EXAMPLES[hook])
        return called[1]

    def local(self, function: Callable[..., Any]) -> frozenset[str]:
        """Try `plastic_local_update`; return the signals that it read."""
        hook = "plastic_local_update"
        first = Recorder(self.values)
        if self.spec.passes > 1:
            for one in self.passes:
                one.also = self.values
            self.values = {**self.values, "passes": (first, *self.passes)}
        if self.spec.settle is not None:
            known = {name: self.values[name] for name in ("pre", "post", "z")}
            phases = {
                phase: SimpleNamespace(**{name: value.clone() for name, value in known.items()})
                for phase in self.spec.settle.phases
            }
            self.values |= {**phases, "phases": phases}
        called = self._call(hook, function)
        if called is None:
            return frozenset()
        result, seen = called
        seen |= first.seen
        for one in (first, *self.passes):
            self._check_reads(hook, one.seen - called[1])
        if self.spec.state:
            if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
                expected = "(update, {name: new state})"
                self._fault(hook, f"returned {kind_of(result)}", expected, _STATE)
                return seen
            self._check_states(hook, result[1])
            result = result[0]
        updates = result if len(self.spec.modifies) > 1 else {min(self.spec.modifies): result}
        if not isinstance(updates, dict) or updates.keys() != self.spec.modifies:
            expected = "{'forward': update, 'feedback': update}"
            example = 'return {"forward": outer(s.post, s.pre), "feedback": outer(s.pre, s.post)}'
            self._fault(hook, f"returned {kind_of(result)}", expected, example)
            return seen
        for matrix, update in updates.items():
            self._check_update(hook, matrix, update)
        return seen

    def _call(self, hook: str, function: Callable[..., Any]) -> tuple[Any, frozenset[str]] | None:
        """Return the result and what was read, or None where the hook raised."""
        given = {f"signal '{k}'": v for k, v in self.values.items() if isinstance(v, Tensor)}
        for kind in ("state", "noise", "theta"):
            given |= {f"{kind} '{k}'": v for k, v in vars(self.values[kind]).items()}
        before = {what: value.clone() for what, value in given.items()}
        recorder = Recorder(self.values)
        self._drawn.multiplied.clear()
        drawn = torch.get_rng_state()
        try:
            result = function(recorder)
            again = function(recorder)
        except Exception as error:
            found = describe_exception(error)
            shapes = ": activities [R, K, n], matrices [R, n_post, n_pre]"
            self._fault(
                hook,
                f"raised {found}{line_of(error)}",
                "a result for signals of every size"
                + shapes * bool({"size", "shape"} & {*found.split()}),
                _EXAMPLES[hook],
            )
            return None
        finally:
            self._check_reads(hook, recorder.seen)
            self.asked |= recorder.asked
        self.repeatable &= all(map(same, leaves(result), leaves(again)))
        if not torch.equal(drawn, torch.get_rng_state()):
            found = "draws numbers of torch's generator"
            accepted = "noise that its spec declares, the same on every backend and in every hook"
            self._fault(hook, found, accepted, 'noise={"post"} in the spec, and s.noise.post')
        for what, value in given.items():
            if not torch.equal(value, before[what]):
                is_state = what.startswith("state")
                accepted = "return a new tensor"
                if hook == "plastic_local_update":
                    accepted = "return the increment and let the engine add it"
                accepted = "return the new state beside the update" if is_state else accepted
                example = _STATE if is_state else _EXAMPLES[hook]
                self.faults.append(Fault(hook, f"modifies the {what} in place", accepted, example))
        return result, frozenset(recorder.seen | self._drawn.multiplied)

    def _check_reads(self, hook: str, seen: set[str]) -> None:
        declared = sorted(self.spec.reads)
        for name in sorted(seen - self.spec.reads):
            self.faults.append(
                Fault(
                    hook,
                    f"reads the signal '{name}', which its spec does not declare",
                    f"add '{name}' to reads={declared}",
                    f"reads={{{', '.join(repr(n) for n in sorted(seen | self.spec.reads))}}}",
                )
            )

    def _check_states(self, hook: str, new: Mapping[str, Any]) -> None:
        if new.keys() != self._drawn.shapes.keys():
            expected = f"the states {listing(self._drawn.shapes)}"
            self._fault(hook, f"returned the states {listing(new)}", expected, _STATE)
            return
        for name, value in new.items():
            over, example = self.spec.state[name].over, f'{{"{name}": 0.9 * s.state.{name}}}'
            if over in ("post", "pre"):
                example = f'{{"{name}": s.{over}.mean(1, keepdim=True)}}'
            shape, example = _STATE_SHAPES[over], f"return update, {example}"
            self._check(
                hook, f"the state '{name}'", value, self._drawn.shapes[name], shape, example
            )

    def _check_update(self, hook: str, matrix: str, update: Any) -> None:
        if not isinstance(update, Update | Tensor):
            expected = "outer(a, b), decay(), sums of them, or a tensor"
            self._fault(hook, f"returned {kind_of(update)}", expected, _OUTER)
            return
        rows, columns = POST, PRE
        names, example = ("n_post", "n_pre"), _OUTER
        if matrix == "feedback":
            rows, columns = self.values["feedback"].shape[1:]
            names = ("n_pre", "n_L" if self.spec.feedback == "output" else "n_post")
            example = "return outer(s.pre, s.error)"
        for part in as_update(update).parts:
            if not isinstance(part.scale, int | float):
                self._fault(
                    hook,
                    f"multiplied an update by {kind_of(part.scale)}",
                    "a number there; multiply a factor of outer() by it",
                    "return outer(s.post * s.post.mean(-1, keepdim=True), s.pre)",
                )
            if isinstance(part, Outer):
                left, right = (REPLICAS, EVENTS, rows), (REPLICAS, EVENTS, columns)
                named = f"[R, K, {names[0]}]", f"[R, K, {names[1]}]"
                self._check(hook, "the left factor", part.post, left, named[0], example)
                self._check(hook, "the right factor", part.pre, right, named[1], example)
            elif isinstance(part, Decay) and part.factor is not None:
                shape, named_rows = (REPLICAS, EVENTS, rows), f"[R, K, {names[0]}]"
                example = "return decay(s.post.square())"
                self._check(hook, "the decay factor", part.factor, shape, named_rows, example)
            elif isinstance(part, Dense):
                full, shape = f"[R, {names[0]}, {names[1]}]", (REPLICAS, rows, columns)
                example = "return -0.1 * s.weight"
                self._check(hook, "the update", part.value, shape, full, example)

    def _check(
        self, hook: str, what: str, value: Any, shape: tuple[int, ...], named: str, example: str
    ) -> None:
        if not isinstance(value, Tensor):
            self._fault(hook, f"returned {what} as {kind_of(value)}", f"a tensor {named}", example)
        elif tuple(value.shape) != shape:
            sizes = f"R={REPLICAS}, K={EVENTS}, n_post={POST}, n_pre={PRE}"
            found = f"returned {what} of shape {list(value.shape)}"
            self._fault(hook, found, f"{named}, here {list(shape)} ({sizes})", example)
        elif value.dtype != self._dtype:
            found = f"returned {what} of type {value.dtype} from signals of type {self._dtype}"
            self._fault(hook, found, f"{self._dtype}, as the signals are", example)

    def _fault(self, hook: str, found: str, expected: str, example: str) -> None:
        self.faults.append(Fault(hook, found, f"expected {expected}", example))


def leaves(value: Any) -> Iterator[Any]:
    """Yield the tensors and numbers that a hook returned."""
    if isinstance(value, Update):
        for part in value.parts:
            yield from (getattr(part, name) for name in (*part.__slots__, "scale"))
    elif isinstance(value, dict | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    else:
        yield value


def same(one: Any, other: Any) -> bool:
    """Return whether two of the leaves are equal, where both are NaN too."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    return bool(one == other)
