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
    "MishBackward0": ("mish", lambda node: functional.mish),
    "HardswishBackward0": ("hardswish", lambda node: functional.hardswish),
    "HardsigmoidBackward0": ("hardsigmoid", lambda node: functional.hardsigmoid),
    "LogSigmoidBackward0": ("log sigmoid", lambda node: functional.logsigmoid),
    "CeluBackward0": ("celu", lambda node: partial(functional.celu, alpha=node._saved_alpha)),
    "SoftshrinkBackward0": (
        "softshrink",
        lambda node: partial(functional.softshrink, lambd=node._saved_lambd),
    ),
    "SoftmaxBackward0": ("softmax", lambda node: partial(torch.softmax, dim=-1)),
    "LogSoftmaxBackward0": ("softmax", lambda node: partial(torch.softmax, dim=-1)),
}

# What stands for a compiled part, in which nothing can be seen.
_COMPILED: Final = "CompiledFunctionBackward"


# What hooks of others leave, and copies; and what gives the same numbers another shape.
_SAME: Final = ("BackwardHookFunctionBackward", "CloneBackward0")
_RESHAPED: Final = ("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0")

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
    roots, found = [], dict[Any, Following]()
    for one in outputs:
        if one.grad_fn is None:
            continue
        roots.append(one.grad_fn)
        layer = layers.get(_beneath(one.grad_fn)[0])
        if layer is not None and one.shape[-1] == layer.weight.shape[1]:
            found[layer] = Following(returned=True)
    seen, waiting = set(roots), list(roots)
    while waiting:
        node = waiting.pop()
        for child, _ in node.next_functions:
            if child is None:
                continue
            below, reshaped = _beneath(child)
            if below in layers:
                known = _following(node, reshaped)
                if known.post or known.hidden or layers[below] not in found:
                    found[layers[below]] = known
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return found


def _beneath(node: Any) -> tuple[Any, bool]:
    """Return the node below those that change no number, and whether one changed the shape."""
    reshaped = False
    while type(node).__name__ in (*_SAME, *_RESHAPED) and node.next_functions[0][0] is not None:
        reshaped |= type(node).__name__ in _RESHAPED
        node = node.next_functions[0][0]
    return node, reshaped


def _following(node: Any, reshaped: bool) -> Following:
    name = type(node).__name__
    if name in _SOFTMAX and (reshaped or node._saved_dim not in _last(node._saved_result.dim())):
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


_NOTHING: Final = (
    "what the layer gives, for no activation function that is known follows it",
    lambda z: z,
)
