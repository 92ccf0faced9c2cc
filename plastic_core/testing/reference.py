"""A rule's hooks against the slow references of their author, on the signals of a real network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from plastic_core.api.hookspecs import hookimpl
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.plugin import Rule
from plastic_core.api.signals import MATRIX_SIGNALS, PRODUCT_NAMES, SIGNAL_NAMES, Signals
from plastic_core.api.site import SITE_NAMES
from plastic_core.api.specs import RuleSpec, Sizes
from plastic_core.api.update import Decay, Dense, Outer, Update, as_update, outer
from plastic_core.backends.eager.engine import Engine
from plastic_core.base.fault import Fault
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import resolve_hooks
from plastic_core.hooks.result import split_result
from plastic_core.networks.parameters import initial_parameters
from plastic_core.networks.products import MatrixProducts
from plastic_core.testing.small import Carrier

#: All sizes differ; hidden activities of both signs.
_NETWORK: Final = NetworkSpec(sizes=(7, 6, 5, 4), activation="tanh")

_EVENTS: Final = 3


#: What a hook returns that gives one tensor, or a second one beside it.
_ONE: Final = {
    "plastic_forward": "z",
    "plastic_input": "the input",
    "plastic_propagate_error": "the error",
    "plastic_settle": "z",
}


def check_reference(
    rule: type[Rule],
    reference: Callable[[SimpleNamespace], Any],
    hook: str = "plastic_local_update",
) -> list[Fault]:
    """Compare a hook with `reference`; return a fault for each thing in which they differ."""
    return [
        Fault(
            hook,
            f"differs from its reference in {name}, by up to {off:.2g}",
            "expected the same numbers, up to rounding",
            "def reference(s): return np.outer(s.post, s.pre)",
        )
        for name, off in differences(rule, reference, hook).items()
        if not off <= 1e-9
    ]


def differences(
    rule: type[Rule], reference: Callable[[SimpleNamespace], Any], hook: str
) -> dict[str, float]:
    """Return the largest difference between a hook and `reference`, by what they return.

    They are compared layer by layer, event by event, network by network.
    """
    made: Any = rule()
    worst: dict[str, float] = {}
    found = _signals(made)
    # what is shown next is decided at the first projection
    for signals in found[:1] if hook == "plastic_input" else found:
        for s in _shown(signals, hook):
            ours = _named(getattr(made, hook)(s), rule.spec, hook)
            for replica in range(len(s.pre)):
                slow = _named(reference(plain(s, replica)), rule.spec, hook)
                for name, value in ours.items():
                    matrix = s.feedback if name == "feedback" else s.weight
                    mine = _written_out(value, matrix)[replica].numpy()
                    theirs = np.reshape(slow[name], mine.shape)
                    both_nan = np.isnan(mine) & np.isnan(theirs)
                    off = np.where(both_nan, 0, np.abs(mine - theirs)).max().item()
                    worst[name] = np.fmax(worst.get(name, 0.0), off) if off == off else off
    return worst


def _shown(signals: SimpleNamespace, hook: str) -> Iterator[SimpleNamespace]:
    """Yield what the hook is given, one event at a time, in each phase in which it is called."""
    for k in range(_EVENTS):
        s = one_event(signals, k)
        if hook == "plastic_input":
            s.input, s.pass_index = s.pre, 1
        if hook == "plastic_settle":
            s.below, s.above = s.forward(s.pre), torch.sin(s.z) * (not s.is_output)
        for phase in signals.phases if hook == "plastic_settle" else ("",):
            s.phase = phase
            yield s


class _Witness(Rule):
    """Reads every signal, so that the network computes all of them, and learns nothing."""

    def __init__(self, feedback: Literal["layer", "output"] | None) -> None:
        reads = SIGNAL_NAMES if feedback else SIGNAL_NAMES - {"feedback", "feedback_error"}
        # of the instance, for it depends on the rule that is looked at
        self.spec = Carrier.spec.model_copy(  # type: ignore[misc]
            update={"name": "witness", "reads": reads, "feedback": feedback, "propagates": False}
        )
        super().__init__()

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return nothing to speak of."""
        for name in self.spec.reads:
            getattr(s, name)
        return outer(0 * s.post, s.pre)


def network_of(rule: Rule, theta: float = 0.0) -> tuple[Engine, Tensor, Tensor]:
    """Return two small networks that learn by a rule and compute every signal, and their points.

    Weights, inputs ``[2, events, n_0]`` and targets are such that there are numbers of both signs,
    zeros and ties.
    """
    spec, rules = rule.spec, [rule]
    if spec.settle is None:  # where there are no errors
        rules += [_Witness(spec.feedback), *([] if spec.propagates else [Carrier()])]
    everywhere = frozenset(range(_NETWORK.depth))
    acting = [(one, everywhere) for one in rules]
    hooks = resolve_hooks(acting, dtype=torch.float64, circuit=circuit_of(_NETWORK))
    parameters = initial_parameters(_NETWORK, [0, 1], hooks.feedback, torch.float64)
    for weight in parameters.weights:
        weight[:, 1] = weight[:, 0]  # units that are equal
        weight[:, :, -1] = 0  # a unit that sends nothing, and whose error is 0
    for weight in parameters.weights[:-1]:
        weight[:, 2] = 0  # a silent unit
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2, _EVENTS, _NETWORK.sizes[0], generator=source, dtype=torch.float64)
    x[:, :, 1], x[:, :, 2] = x[:, :, 0], 0
    target = torch.eye(_NETWORK.sizes[-1], dtype=torch.float64)[:_EVENTS].expand(2, -1, -1)
    thetas = {one.theta: 0.0 for one in hooks.local} | {spec.name: theta}
    thetas |= {f"{spec.name}.{name}": one.default for name, one in spec.thetas.items()}
    return Engine(_NETWORK, hooks, thetas, parameters), x, target


def kept(s: Signals, **own: Any) -> SimpleNamespace:
    """Return the signals of a layer as they are now, ``[R, K, n]``.

    Args:
        s: the signals.
        own: `state`, `theta` and `noise` of the rule.
    """
    one = SimpleNamespace(**_copied(s), site=s.site, **own)
    one.later = [_copied(other) for other in s.passes[1:]]
    one.phases = {phase: _copied(other) for phase, other in s.phases.items()}
    return one


def _signals(rule: Rule) -> list[SimpleNamespace]:
    """Return the signals of each layer of a small network, with random states and noise.

    The others fit each other, as recon and W' post do.
    """
    spec, source = rule.spec, torch.Generator().manual_seed(1)
    engine, x, target = network_of(rule)
    found = []
    for s in engine.signals(x, target)[::-1]:
        fed = s.feedback.shape[2] if spec.feedback else 0
        sizes = Sizes(s.post.shape[2], s.pre.shape[2], target.shape[2], fed)
        states = {
            name: torch.randn(2, *state.shape(sizes), generator=source, dtype=torch.float64)
            for name, state in spec.state.items()
        }
        noises = {"post": s.post, "pre": s.pre, "weight": s.weight}
        noise = {
            name: torch.randn(noises[name].shape, generator=source, dtype=torch.float64)
            for name in sorted(spec.noise)
        }
        full = {n: torch.full((2, 1, 1), t.default).double() for n, t in spec.thetas.items()}
        own = {"state": SimpleNamespace(**states), "noise": SimpleNamespace(**noise)}
        found.append(kept(s, **own, theta=SimpleNamespace(**full)))
    return found


def _copied(s: Signals) -> dict[str, Any]:
    """Return signals by name."""
    return {name: getattr(s, name).clone() for name in SIGNAL_NAMES if hasattr(s, name)}


def one_event(signals: SimpleNamespace, k: int) -> SimpleNamespace:
    """Return the signals of one event, ``[R, 1, n]``; matrices and states are as they are."""

    def of_event(values: dict[str, Any]) -> dict[str, Any]:
        events = values.keys() & (SIGNAL_NAMES - MATRIX_SIGNALS)
        return {name: values[name][:, k : k + 1] for name in events}

    named = of_event(vars(signals))
    noise = {
        name: value if name == "weight" else value[:, k : k + 1]
        for name, value in vars(signals.noise).items()
    }
    named["noise"] = SimpleNamespace(**noise)
    feedback = getattr(signals, "feedback", None)
    products = MatrixProducts(signals.weight, feedback)
    one = SimpleNamespace(
        **{**vars(signals), **named},
        **{name: getattr(signals.site, name) for name in SITE_NAMES},
        **{name: getattr(products, name) for name in PRODUCT_NAMES},
        by_time=lambda x: x.unsqueeze(1),
        batch=1,
        learning=True,
        pass_index=0,
    )
    one.passes = [one, *(SimpleNamespace(**of_event(other)) for other in signals.later)]
    for phase, other in signals.phases.items():
        setattr(one, phase, SimpleNamespace(**of_event(other)))
    return one


def plain(s: SimpleNamespace, replica: int) -> SimpleNamespace:
    """Return the signals of one network as NumPy arrays."""

    def of_network(value: Any) -> Any:
        return value[replica].squeeze(0).numpy() if isinstance(value, Tensor) else value

    def in_numpy(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
        return lambda z: function(torch.from_numpy(z)).numpy()

    one = SimpleNamespace(**{n: of_network(v) for n, v in vars(s).items()})
    for kind in ("state", "noise", "theta"):
        values = {name: of_network(value) for name, value in vars(getattr(s, kind)).items()}
        setattr(one, kind, SimpleNamespace(**values))
    others = {id(s): one}
    for shown in (*s.passes[1:], *(getattr(s, phase) for phase in s.phases)):
        others[id(shown)] = SimpleNamespace(**{n: of_network(v) for n, v in vars(shown).items()})
    one.passes = [others[id(shown)] for shown in s.passes]
    for phase in s.phases:
        setattr(one, phase, others[id(getattr(s, phase))])
    one.activation, one.slope = in_numpy(s.activation), in_numpy(s.slope)
    one.forward, one.back = (lambda v: one.weight @ v), (lambda v: one.weight.T @ v)
    one.feed_back = lambda v: one.feedback @ v
    return one


def _named(result: Any, spec: RuleSpec, hook: str) -> dict[str, Any]:
    """Return what a hook or a reference returns by name: of a local update by matrix and state."""
    if hook in _ONE:
        one, *message = result if isinstance(result, tuple) else (result,)
        return {_ONE[hook]: one, **({"the message": message[0]} if message else {})}
    updates, states = split_result(spec, result)
    return {**updates, **{f"state {name}": value for name, value in states.items()}}


def _written_out(value: Update | Tensor, matrix: Tensor) -> Tensor:
    """Return an increment of one event as a matrix; a state is as it is."""
    if isinstance(value, Tensor):
        return value
    total = torch.zeros_like(matrix)
    for part in as_update(value).parts:
        if isinstance(part, Outer):
            total += part.scale * part.post.mT @ part.pre
        elif isinstance(part, Decay):
            rows = 1.0 if part.factor is None else part.factor.mT
            total -= part.scale * rows * matrix
        elif isinstance(part, Dense):
            total += part.scale * part.value
    return total
