"""A rule's local update against the slow reference of its author."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plastic_core.api.plugin import Rule
from plastic_core.api.specs import RuleSpec
from plastic_core.api.update import Decay, Dense, Outer, Update, as_update
from plastic_core.base.fault import Fault
from plastic_core.hooks.result import split_result
from plastic_core.hooks.trial import trial_signals


def check_reference(rule: type[Rule], reference: Callable[[SimpleNamespace], Any]) -> list[Fault]:
    """Compare the local update with `reference`, event by event, network by network."""
    made: Any = rule()
    signals = trial_signals(made, torch.float64)
    worst: dict[str, float] = {}
    for k in range(signals.pre.shape[1]):
        s = _one_event(signals, k)
        ours = _named(made.plastic_local_update(s), rule.spec)
        for replica in range(len(s.pre)):
            slow = _named(reference(_plain(s, replica)), rule.spec)
            for name, value in ours.items():
                matrix = s.feedback if name == "feedback" else s.weight
                mine = _written_out(value, matrix)[replica].numpy()
                off = np.abs(mine - np.reshape(slow[name], mine.shape)).max().item()
                worst[name] = max(worst.get(name, 0.0), off)
    return [
        Fault(
            "plastic_local_update",
            f"differs from its reference in {name}, by up to {off:.2g}",
            "expected the same numbers, up to rounding",
            "def reference(s): return np.outer(s.post, s.pre)",
        )
        for name, off in worst.items()
        if not off <= 1e-9
    ]


def _one_event(signals: SimpleNamespace, k: int) -> SimpleNamespace:
    """Return the signals of one event, ``[R, 1, n]``; matrices and states are as they are."""
    whole = ("weight", "feedback", "state", "batch")
    events = {n: v[:, k : k + 1] for n, v in vars(signals).items() if n not in whole}
    matrices = {name: getattr(signals, name) for name in ("weight", "feedback", "state")}
    return SimpleNamespace(**events, **matrices, batch=1)


def _plain(s: SimpleNamespace, replica: int) -> SimpleNamespace:
    """Return the signals of one network as NumPy arrays."""

    def plain(value: Any) -> Any:
        return value[replica].squeeze(0).numpy() if isinstance(value, Tensor) else value

    state = SimpleNamespace(**{name: plain(value) for name, value in vars(s.state).items()})
    return SimpleNamespace(**{**{n: plain(v) for n, v in vars(s).items()}, "state": state})


def _named(result: Any, spec: RuleSpec) -> dict[str, Any]:
    """Return increments by matrix and states by name, from what a hook or a reference returns."""
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
