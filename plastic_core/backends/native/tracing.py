"""From a hook to a graph: called with proxies in the place of tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from torch import fx

from plastic_core.api import site as sites
from plastic_core.api import update as updates
from plastic_core.api.signals import MATRIX_SIGNALS, SIGNAL_NAMES
from plastic_core.api.site import SITE_NAMES, Site
from plastic_core.api.update import Decay, Dense, Outer, Part, Sum, Update
from plastic_core.backends.native.proxy import Proxy


class Sited:
    """Signals that know where they are, and in which pass, before anything is computed.

    Args:
        signals: a proxy.
        site: where they are.
        pass_index: which pass it is.
        passes: how many there are.
    """

    def __init__(self, signals: Any, site: Site, pass_index: int = 0, passes: int = 1) -> None:
        self._signals, self._passes = signals, passes
        self._known = {name: getattr(site, name) for name in SITE_NAMES}
        self._known |= {"learning": True, "pass_index": pass_index}

    def __getattr__(self, name: str) -> Any:
        if name == "passes" and self._passes > 1:
            later = self._signals.passes
            return (self, *(_Later(self, later[k], k) for k in range(1, self._passes)))
        return self._known[name] if name in self._known else getattr(self._signals, name)


class _Later:
    """Signals of a pass behind the first, with which it shares all but the signals."""

    def __init__(self, first: Sited, signals: Any, pass_index: int) -> None:
        self._first, self._signals, self.pass_index = first, signals, pass_index

    def __getattr__(self, name: str) -> Any:
        own = name in SIGNAL_NAMES - MATRIX_SIGNALS
        return getattr(self._signals if own else self._first, name)


class _Tracer(fx.Tracer):
    """Notes for each node the line of the rule that made it."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        frame = sys._getframe(1)
        while not of_a_plugin(frame) and frame.f_code.co_filename != __file__ and frame.f_back:
            frame = frame.f_back
        node.meta["line"] = frame.f_lineno if of_a_plugin(frame) else None
        return node


def of_a_plugin(frame: FrameType) -> bool:
    """Return whether a frame is none of torch's or of what follows a rule."""
    file = frame.f_code.co_filename
    return file not in _FILES and not file.startswith(("<", *_FOLDERS))


_FILES: Final = (updates.__file__, sites.__file__)
_FOLDERS: Final = (str(Path(__file__).parent), str(Path(torch.__file__).parent))


def named(line: int | None) -> str:
    """Return a line of a rule as a prefix."""
    return "" if line is None else f"line {line}: "


def trace_twice(function: Callable[[Any], Any]) -> tuple[fx.Graph, Any]:
    """Return the graph of a hook, and what it returned with the graph's nodes in it.

    Raises:
        ValueError: two calls differ, as of a rule that counts them or draws numbers.
    """
    graph, result = _trace(function)
    again, _ = _trace(function)
    if graph.python_code("self").src != again.python_code("self").src:
        raise ValueError("it does something else at each call")
    return graph, result


def _trace(function: Callable[[Any], Any]) -> tuple[fx.Graph, Any]:
    tracer = _Tracer()
    returned: list[Any] = []

    def call(s: Any) -> None:
        # a proxy of an attribute gets its node when it is first asked for
        returned.append(replaced(function(s), fx.Proxy, lambda proxy: proxy.node))

    with _eye_of_any_size():
        graph = tracer.trace(call)
    graph.owning_module = fx.GraphModule(tracer.root, graph)
    return graph, returned[0]


@contextmanager
def _eye_of_any_size() -> Iterator[None]:
    """Let torch.eye take a size that is a proxy, which torch itself looks into."""
    eye = torch.eye

    def made(n: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(n, fx.Proxy):
            return n.tracer.create_proxy("call_function", eye, (n, *args), kwargs)
        return eye(n, *args, **kwargs)

    torch.eye = made
    try:
        yield
    finally:
        torch.eye = eye


def replaced(result: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return what a hook returned with everything of one type in it replaced."""
    if isinstance(result, kind):
        return function(result)
    if isinstance(result, tuple):
        return tuple(replaced(r, kind, function) for r in result)
    if isinstance(result, dict):
        return {name: replaced(r, kind, function) for name, r in result.items()}
    if not isinstance(result, Update):
        return result
    parts: list[Part] = []
    for part in result.parts:
        if isinstance(part, Outer):
            post, pre = (replaced(f, kind, function) for f in (part.post, part.pre))
            parts.append(Outer(post, pre, part.scale))
        elif isinstance(part, Decay):
            parts.append(Decay(replaced(part.factor, kind, function), part.scale))
        else:
            assert isinstance(part, Dense)
            parts.append(Dense(replaced(part.value, kind, function), part.scale))
    return Sum(tuple(parts))
