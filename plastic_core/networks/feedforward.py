r"""The feed-forward network as a circuit.

    y_0 = x                         z_l = W_l y_{l-1}
    y_l = sigma(z_l) [+ y_{l-1}]    output: the loss's output function of z_L

The term in brackets is a residual connection. With layer normalisation every hidden z_l is
normalised before sigma.
"""

from __future__ import annotations

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.circuit import Apply, Circuit, Node, Send
from plastic_core.networks.maps import Activate, Add, Normalise, Output


def feedforward_circuit(spec: NetworkSpec, loss: Loss) -> Circuit:
    """Return the circuit of a feed-forward network."""
    activate = Activate(ACTIVATIONS[spec.activation])
    operations: list[Send | Apply] = []
    units: dict[str, int] = {"y0": spec.sizes[0]}
    y = Node("y0")
    populations = [y]
    for p, (size, skip) in enumerate(zip(spec.sizes[1:], spec.skips, strict=True)):
        layer = p + 1

        def node(name: str, size: int = size, layer: int = layer) -> Node:
            units[f"{name}{layer}"] = size
            return Node(f"{name}{layer}")

        below, z = y, node("z")
        operations.append(Send(p, below, z))
        if layer == spec.depth:
            y = node("y")
            operations.append(Apply(Output(loss), (z,), y))
        else:
            if spec.layer_norm:
                operations.append(Apply(Normalise(), (z,), node("n")))
                z = Node(f"n{layer}")
            y = node("branch" if skip else "y")
            operations.append(Apply(activate, (z,), y))
            if skip:
                operations.append(Apply(Add(), (y, below), node("y")))
                y = Node(f"y{layer}")
        populations.append(y)
    return Circuit(tuple(operations), units, tuple(populations), {}, activate, spec)
