"""Which activation function follows each layer of a model, as its backward graph says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[[Tensor], Tensor]

# By the name of the node that autograd leaves: the name of the function, and the function, whose
# constants the node has kept.
_KNOWN: Final[dict[str, tuple[str, Callable[[Any], Function]]]] = {
    "ReluBackward0": ("relu", lambda node: torch.relu),
    "TanhBackward0": ("tanh", lambda node: torch.tanh),
    "SigmoidBackward0": ("sigmoid", lambda node: torch.sigmoid),
    "SiluBackward0": ("silu", lambda node: functional.silu),
    "GeluBackward0": (
        "gelu",
        lambda node: partial(functional.gelu, approximate=node._saved_approximate),
    ),
    "SoftplusBackward0": (
        "softplus",
        lambda node: partial(
            functional.softplus, beta=node._saved_beta, threshold=node._saved_threshold
        ),
    ),
    "EluBackward0": (
        "elu",
        lambda node: (
            lambda z: torch.ops.aten.elu(
                z, node._saved_alpha, node._saved_scale, node._saved_input_scale
            )
        ),
    ),
    "LeakyReluBackward0": (
        "leaky relu",
        lambda node: partial(functional.leaky_relu, negative_slope=node._saved_negative_slope),
    ),
    "HardtanhBackward0": (
        "hardtanh",
        lambda node: partial(
            functional.hardtanh, min_val=node._saved_min_val, max_val=node._saved_max_val
        ),
    ),
    "SoftmaxBackward0": ("softmax", lambda node: partial(torch.softmax, dim=-1)),
    "LogSoftmaxBackward0": ("softmax", lambda node: partial(torch.softmax, dim=-1)),
}

# What stands for a compiled part, in which nothing can be seen.
_COMPILED: Final = "CompiledFunctionBackward"


class Following(NamedTuple):
    """What follows a layer.

    Attributes:
        post: name and function of the activation, or None where none follows directly.
        returned: whether the model returns what the layer gives.
        hidden: whether it cannot be seen, for the model was compiled.
    """

    post: tuple[str, Function] | None = None
    returned: bool = False
    hidden: bool = False


def followings(outputs: Iterable[Tensor], layers: Mapping[Any, Any]) -> dict[Any, Following]:
    """Return what follows each layer.

    Args:
        outputs: of the model.
        layers: by the node that a layer left in the graph.
    """
    roots = [one.grad_fn for one in outputs if one.grad_fn is not None]
    found = {layers[node]: Following(returned=True) for node in roots if node in layers}
    seen, waiting = set(roots), list(roots)
    while waiting:
        node = waiting.pop()
        for child, _ in node.next_functions:
            if child is None:
                continue
            if child in layers:
                known = _following(node)
                if known.post or known.hidden or layers[child] not in found:
                    found[layers[child]] = known
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return found


def _following(node: Any) -> Following:
    name = type(node).__name__
    if name in _KNOWN:
        called, make = _KNOWN[name]
        return Following((called, make(node)))
    return Following(hidden=name == _COMPILED)
