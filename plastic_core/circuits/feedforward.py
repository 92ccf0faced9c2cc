r"""The feed-forward network as a circuit.

    y_0 = x                         z_l = W_l y_{l-1} [+ b_l]
    y_l = sigma(z_l) [+ y_{l-1}]    output: the loss's output function of z_L

The terms in brackets are biases and residual connections. With layer normalisation every hidden
z_l is normalised before sigma.
"""

from __future__ import annotations

from plastic_core.api.activation import Activation
from plastic_core.api.circuit import Apply, Circuit, Node, Send
from plastic_core.api.loss import Loss
from plastic_core.api.maps import Activate, Add, Constant, Map, Normalise, Output
from plastic_core.api.network_spec import NetworkSpec


def feedforward_circuit(spec: NetworkSpec, activation: Activation, loss: Loss) -> Circuit:
    """Return the circuit of a feed-forward network."""
    activate = Activate(activation)
    operations: list[Send | Apply] = []
    units = {"y0": spec.sizes[0]}
    y = Node("y0")
    populations = [y]

    def apply(function: Map, *inputs: Node, name: str, size: int) -> Node:
        units[name] = size
        operations.append(Apply(function, inputs, Node(name)))
        return Node(name)

    def send(projection: int, pre: Node, name: str, size: int) -> Node:
        units[name] = size
        operations.append(Send(projection, pre, Node(name)))
        return Node(name)

    one = apply(Constant(), y, name="one", size=1) if spec.bias else y
    for p, (size, skip) in enumerate(zip(spec.sizes[1:], spec.skips, strict=True)):
        layer, below = p + 1, y
        z = send(p, below, f"z{layer}", size)
        if spec.bias:
            bias = send(spec.depth + p, one, f"b{layer}", size)
            z = apply(Add(), z, bias, name=f"biased{layer}", size=size)
        if layer == spec.depth:
            y = apply(Output(loss), z, name=f"y{layer}", size=size)
        else:
            if spec.layer_norm:
                z = apply(Normalise(), z, name=f"n{layer}", size=size)
            y = apply(activate, z, name=f"branch{layer}", size=size)
            if skip:
                y = apply(Add(), y, below, name=f"y{layer}", size=size)
        populations.append(y)
    layers = (*range(1, spec.depth + 1), *spec.biased)
    return Circuit(tuple(operations), units, tuple(populations), {}, layers, activate, spec)
