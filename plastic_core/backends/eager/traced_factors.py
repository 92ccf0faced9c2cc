"""Rules written out once as straight-line code, so that no step calls them again.

A rule is a pure function of what it reads and looks at no shape and no value, so torch.fx can
follow it. What comes out is the same arithmetic in the same order: a faster way to the same
numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from plastic_core.api.signals import SIGNAL_NAMES, Signals
from plastic_core.api.update import Outer, as_update
from plastic_core.base.locks import TRACING
from plastic_core.hooks.hooks import LocalRule


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
    try:
        with TRACING:
            first, second = _trace(rules), _trace(rules)
    except Exception:  # a rule may do to a proxy what none of them supports
        return None
    if first is None or second is None:
        return None
    # a rule that counts its calls, or draws numbers of its own, is another one each time
    (factors, code), (_, again) = first, second
    return factors if code == again else None


def _trace(rules: tuple[LocalRule, ...]) -> tuple[TracedFactors, Any] | None:
    """Return the factors, and what two traces of a rule must have in common."""
    scales: list[tuple[str, float]] = []

    def factors(s: Any) -> tuple[list[Any], list[Any]] | None:
        lefts, rights = [], []
        for rule in rules:
            for part in as_update(rule.function(s)).parts:
                if not isinstance(part, Outer) or not isinstance(part.scale, int | float):
                    return None
                scales.append((rule.name, part.scale))
                lefts.append(part.post)
                rights.append(part.pre)
        return lefts, rights

    tracer = fx.Tracer()
    graph = tracer.trace(factors)
    output = graph.output_node()
    traced: Any = output.args[0]
    if traced is None:
        return None
    lefts, rights = traced
    if not all(_is_signal(node) for node in lefts):
        return None
    output.args = (rights,)
    graph.eliminate_dead_code()
    module = fx.GraphModule(tracer.root, graph)
    names = [str(node.args[1]) for node in lefts]
    return TracedFactors(scales, names, module.forward), (scales, names, module.code)


def _is_signal(node: Any) -> bool:
    return (
        isinstance(node, fx.Node)
        and node.target is getattr
        and isinstance(node.args[0], fx.Node)
        and node.args[0].op == "placeholder"
        and node.args[1] in SIGNAL_NAMES
    )
