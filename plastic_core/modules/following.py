"""Which activation function follows each layer of a model, as its backward graph says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from plastic_core.api.loss import Loss
from plastic_core.base.errors import PlasticError
from plastic_core.modules.plastic_layer import PlasticLayer

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


_SOFTMAX: Final = ("SoftmaxBackward0", "LogSoftmaxBackward0")


def _last(dimensions: int) -> tuple[int, ...]:
    """Return how the last dimension may be called; autograd has negative numbers without sign."""
    return dimensions - 1, -1, 2**64 - 1


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
    if name in _SOFTMAX and node._saved_dim not in _last(node._saved_result.dim()):
        return Following()  # of another dimension than the units
    if name in _KNOWN:
        called, make = _KNOWN[name]
        return Following((called, make(node)))
    return Following(hidden=name == _COMPILED)


def find_posts(
    layers: Iterable[PlasticLayer],
    found: Mapping[Any, Following],
    given: Mapping[str, tuple[str, Function]],
    loss: Loss,
) -> None:
    """Say of each layer what its activity is, and whether it is the output.

    Args:
        layers: that were called.
        found: what follows each.
        given: names and functions of activations that are not to be looked for, by layer.
        loss: makes the activity of the output.

    Raises:
        PlasticError: what follows a layer was compiled.
    """
    for layer in layers:
        following = found.get(layer, Following())
        layer.is_output = following.returned
        if layer.name in given:
            layer.post = given[layer.name]
        elif following.returned:
            layer.post = (f"what {loss.spec.name} makes of it", loss.output)
        elif following.hidden:
            raise PlasticError(
                f"what follows {layer.name} is compiled, so that its activation function cannot be "
                f"seen; write post={{'{layer.name}': torch.relu}}, or whichever it is"
            )
        else:
            layer.post = following.post or _NOTHING


_NOTHING: Final = ("what the layer gives, for no activation function follows it", lambda z: z)
