r"""Feed-forward networks as circuits: layer after layer, and a readout.

y_0 = x,    y_l = layer l of y_{l-1},    output: the loss's output function of W_L y_{L-1}
"""

from __future__ import annotations

from plastic_core.api.circuit import Circuit, Node
from plastic_core.api.circuit_builder import CircuitBuilder
from plastic_core.api.layer import Layer
from plastic_core.api.layered_spec import LayeredSpec, Net, text_of
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.circuits.layers import Find, make_layer


def layered_circuit(spec: LayeredSpec | NetworkSpec, find: Find) -> Circuit:
    """Return the circuit of a list of layers; that of `NetworkSpec` has dense ones.

    Raises:
        PlasticError: there is no such layer, or it does not fit where it stands.
    """
    net: Net
    if isinstance(spec, NetworkSpec):
        net = tuple({"layer": "dense", "units": units} for units in spec.sizes[1:-1])
    else:
        net = spec.net
    inputs, outputs = spec.ends
    builder = CircuitBuilder(spec, inputs, find)
    populations = [builder.input]
    for number, layer in enumerate(net, start=1):
        made = make_layer(layer, find, number)
        builder.begin(made.spec.name)
        try:
            populations.append(_built(made, builder, populations[-1]))
        except PlasticError as error:
            if isinstance(spec, NetworkSpec):  # which nobody wrote as layers
                raise
            raise PlasticError(f"layer {number} of net, '{text_of(layer)}': {error}") from None
    circuit = builder.finish(outputs, populations)
    if spec.residual and not any(circuit.skips):
        raise PlasticError(
            "residual: no two successive layers are of equal size, so that there is nothing to "
            "connect; give some the same number of units"
        )
    return circuit


def _built(layer: Layer, builder: CircuitBuilder, x: Node) -> Node:
    name = layer.spec.name
    try:
        y = layer.build(builder, x)
    except PlasticError:
        raise
    except (Exception, SystemExit) as error:
        raise PlasticError(
            f"build() of the layer '{name}' raised {describe_exception(error)}"
        ) from error
    if not isinstance(y, Node) or not builder.has(y):
        raise PlasticError(
            f"build() of the layer '{name}' returned {y!r}; expected a population of the network"
        )
    return y
