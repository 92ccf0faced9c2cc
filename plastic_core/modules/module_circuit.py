"""The layers of a user's model as a circuit, for all that asks what a network is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from plastic_core.api.circuit import Apply, Circuit, Matrix, Node, Send
from plastic_core.api.initialisation import MatrixShape
from plastic_core.api.loss import Loss
from plastic_core.api.maps import Constant, Map, Output
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.base.errors import PlasticError
from plastic_core.hooks.hooks import Hooks
from plastic_core.modules.plastic_layer import PlasticLayer
from plastic_core.networks.initialisation import initial_feedback
from plastic_core.networks.parameters import Parameters, add_states
from plastic_core.plugins.catalogue import installed


class Unknown(Map):
    """What a model computes between its layers, which only the model knows."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Refuse: such a circuit says what there is, and is never carried out.

        Raises:
            PlasticError: always.
        """
        raise PlasticError("the model itself computes what lies between its layers")


def module_circuit(layers: Sequence[PlasticLayer], loss: Loss) -> Circuit:
    """Return a circuit of projections that are those of the layers, and of their biases.

    What lies between them is `Unknown`; it says how many units and places there are, what the
    matrices are like, and which layer is the output.

    Args:
        layers: in the order in which they are counted.
        loss: of the output.
    """
    operations: list[Send | Apply] = []
    units: dict[str, int] = {"x": 1}
    grids: dict[str, tuple[int, ...]] = {}
    matrices, xavier = [], installed("initialisation", "xavier")()
    biased = [i for i, layer in enumerate(layers) if layer.bias is not None]
    before, populations = Node("x"), [Node("x")]
    # the output is what comes last, wherever it stands among the layers
    for i, layer in sorted(enumerate(layers), key=lambda one: one[1].is_output):
        pre, z, made = (Node(f"{kind} {layer.name}") for kind in ("pre", "z", "y"))
        n_post, n_pre = layer.weight.shape[1:]
        units |= {pre.series: n_pre, z.series: n_post, made.series: n_post}
        grids |= dict.fromkeys((pre.series, z.series, made.series), layer.places)
        operations += [Apply(Unknown(), (before,), pre), Send(i, pre, z)]
        if layer.bias is not None:
            one, of_bias = Node(f"one {layer.name}"), Node(f"z bias {layer.name}")
            units |= {one.series: 1, of_bias.series: n_post}
            grids |= dict.fromkeys((one.series, of_bias.series), layer.places)
            p = len(layers) + biased.index(i)
            operations += [Apply(Constant(), (pre,), one), Send(p, one, of_bias)]
        operations.append(Apply(Output(loss) if layer.is_output else Unknown(), (z,), made))
        before = made
        populations.append(made)
    for layer in layers:
        n_post, n_pre = layer.weight.shape[1:]
        window = n_pre // (layer.module.weight.shape[1])
        shape = MatrixShape(n_post, n_pre, n_pre, n_post * window)
        matrices.append(Matrix(shape, xavier, 0.0))
    for i in biased:
        n_post = layers[i].weight.shape[1]
        matrices.append(Matrix(MatrixShape(n_post, 1, 1, n_post), xavier, 0.0))
    return Circuit(
        operations=tuple(operations),
        units=units,
        grids=grids,
        populations=tuple(populations),
        names=tuple(layer.name for layer in layers),
        layer_names=tuple(layer.name for layer in layers),
        given={},
        matrices=tuple(matrices),
        biased=tuple(i + 1 for i in biased),
        gradient_only=frozenset(),
        input_activation=None,
        spec=NetworkSpec(sizes=(1, layers[-1].weight.shape[1])),
    )


def module_parameters(
    layers: Sequence[PlasticLayer],
    biased: tuple[int, ...],
    hooks: Hooks,
    circuit: Circuit,
    seed: int,
) -> Parameters:
    """Return views of the model's weights, and feedback and states beside them."""
    weights = [layer.weight for layer in layers]
    weights += [one for layer in layers if (one := layer.bias) is not None]
    drawn = initial_feedback(circuit, hooks.feedback, seed) if hooks.feedback else []
    feedback = [one[None].to(weights[0].device, weights[0].dtype) for one in drawn]
    made = Parameters(weights, feedback, {}, biased, (seed,), circuit.first_into)
    add_states(made, hooks)
    return made
