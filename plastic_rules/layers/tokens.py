"""Patches of an image as tokens."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from plastic_core.api import (
    CircuitBuilder,
    Layer,
    LayerSpec,
    Node,
    Patches,
    PlasticError,
    Positions,
    Spec,
)
from plastic_rules.layers.window import Window, check_window


class TokensOptions(Spec):
    """Options of tokens; what is not given is as the network says."""

    patch: Window = Field(description="rows and columns of a patch, such as 7x7")
    units: PositiveInt = Field(le=10**6, description="units of each token")
    init: str | None = Field(None, min_length=1, description="initialisation of the weights")
    bias: bool | None = Field(None, description="whether the units have biases")
    positions: bool = Field(True, description="add where each patch was")
    connections: float | None = Field(
        None, gt=0, le=1, description="fraction of the connections that there are; None for all"
    )


class Tokens(Layer):
    r"""Patches that lie side by side become tokens, :math:`y_t = W x_t [+ b] + p_t`.

    They have no activation function; :math:`p_t` says where they were, by sines and cosines. With
    `connections` each unit has a share of the pixels of a patch, as in a dense layer.
    """

    spec = LayerSpec(
        name="tokens",
        summary="patches of an image as tokens",
        reference="Dosovitskiy et al. 2021, arXiv:2010.11929",
        options=TokensOptions,
        example="tokens 2x2 6 / mean",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: TokensOptions = self.options
        x = net.image(x)
        check_window(net, x, options.patch)
        if any(side % size for side, size in zip(net.grid(x), options.patch, strict=True)):
            patch, grid = ("x".join(map(str, sides)) for sides in (options.patch, net.grid(x)))
            raise PlasticError(
                f"patches of {patch} do not divide the {grid} places below; give rows and columns "
                "that do"
            )
        patches = Patches(net.grid(x), options.patch, options.patch)
        (height, width), (rows, columns) = patches.grid, options.patch
        units, tokens = net.units(x) * rows * columns, height * width
        pre = net.apply(patches, x, units=units, grid=(tokens,))
        mask = net.some_connections(pre, options.units, options.connections)
        y = net.project(pre, options.units, options.init, options.bias, mask)
        return net.apply(Positions(tokens), y) if options.positions else y
