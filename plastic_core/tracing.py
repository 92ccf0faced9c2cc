"""Rules written out once as straight-line code, so that no step calls them again.

A rule looks at no shape and no value, so torch.fx can follow it. What comes out is the same
arithmetic in the same order: a faster way to the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from plastic_core.build import LocalRule
from plastic_core.signals import SIGNAL_NAMES, Signals
from plastic_core.updates import Outer, as_update


@dataclass(frozen=True)
class TracedFactors:
    """The outer products that the rules of one projection return, written out.

    Attributes:
        scales: rule and scale of each.
        lefts: the left factor of each, by the name of its signal.
        rights: computes the right factors from the signals.
    """

    scales: list[tuple[str, float]]
    lefts: list[str]
    rights: Callable[[Signals], list[Tensor]]


@functools.lru_cache(maxsize=64)
def trace_factors(rules: tuple[LocalRule, ...]) -> TracedFactors | None:
    """Return the factors of rules whose updates are outer products with signals on the left.

    None where that does not describe them, or where a rule branches on what it reads: then the
    engine calls the rules at every step. The result is kept, for a run has many engines with
    the same rules.
    """
    if not rules or any(r.spec.state or r.spec.modifies != {"forward"} for r in rules):
        return None
    scales: list[tuple[str, float]] = []

    def factors(s: Any) -> tuple[list[Any], list[Any]] | None:
        lefts, rights = [], []
        for rule in rules:
            for part in as_update(rule.function(s)).parts:
                if not isinstance(part, Outer):
                    return None
                scales.append((rule.name, part.scale))
                lefts.append(part.post)
                rights.append(part.pre)
        return lefts, rights

    try:
        graph = fx.Tracer().trace(factors)
    except Exception:  # a rule may do to a proxy what none of them supports
        return None
    output = graph.output_node()
    traced: Any = output.args[0]
    if traced is None:
        return None
    lefts, rights = traced
    if not all(_is_signal(node) for node in lefts):
        return None
    output.args = (rights,)
    graph.eliminate_dead_code()
    module = fx.GraphModule(torch.nn.Module(), graph)
    return TracedFactors(scales, [str(node.args[1]) for node in lefts], module.forward)


def _is_signal(node: Any) -> bool:
    return (
        isinstance(node, fx.Node)
        and node.target is getattr
        and isinstance(node.args[0], fx.Node)
        and node.args[0].op == "placeholder"
        and node.args[1] in SIGNAL_NAMES
    )
