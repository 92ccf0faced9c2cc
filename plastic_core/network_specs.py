"""The specification of a network, and the options of tasks that have one.

This module loads no torch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveInt, model_validator

from plastic_core.validation import Spec

Activation = Literal["softplus", "relu", "tanh", "sigmoid", "linear"]
Initialisation = Literal["xavier", "kaiming", "orthogonal", "identity", "naive"]


class NetworkSpec(Spec):
    r"""A feed-forward network without biases, :math:`y_l = \sigma(W_l y_{l-1})` (Equation 1).

    The output layer is softmax with cross-entropy.

    Attributes:
        sizes: units of each layer, input and output included.
        activation: of the hidden layers; softplus has beta = 10.
        init: "xavier" (uniform, Equation 3), "kaiming" (normal), "orthogonal", "identity", or
            "naive" (normal with standard deviation `init_std`).
        init_std: of "naive"; the paper's N(0, 0.01).
        residual: add y_{l-1} to y_l in every hidden layer of equal size.
        layer_norm: normalise z_l over the units of every hidden layer, before the activation,
            without gain and bias.
    """

    sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=2)]
    activation: Activation = "softplus"
    init: Initialisation = "xavier"
    init_std: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    residual: bool = False
    layer_norm: bool = False

    @model_validator(mode="after")
    def _residual_has_an_effect(self) -> Self:
        if self.residual and not any(self.skips):
            raise ValueError(
                f"residual: no two successive layers of {self.shape} are of equal size, so "
                "there is nothing to connect; give equal hidden sizes, such as sizes "
                "784,100,100,100,10"
            )
        return self

    @property
    def depth(self) -> int:
        """Number of weight matrices, the paper's L."""
        return len(self.sizes) - 1

    @property
    def shape(self) -> str:
        """The sizes as the paper writes them, such as 784-100-10."""
        return "-".join(map(str, self.sizes))

    @property
    def skips(self) -> tuple[bool, ...]:
        """For each weight matrix, whether a residual connection goes around it."""
        hidden = pairwise(self.sizes[:-1])
        return (*(self.residual and a == b for a, b in hidden), False)


def _parse_sizes(value: Any) -> Any:
    """Accept the sizes as text, such as "784,100,10"."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise ValueError("expected whole numbers separated by commas, such as 784,100,10") from None


#: Hidden layers of the presets, by number of weight matrices.
HIDDEN_PRESETS: Final[dict[int, tuple[int, ...]]] = {
    5: (170, 130, 100, 70),
    10: (170, 150, 130, 120, 110, 100, 90, 80, 70),
}


class NetworkOptions(Spec):
    """Options of a task whose network is feed-forward; a task's own options may extend them."""

    layers: Literal[5, 10] | None = Field(None, description="number of weight matrices; default 5")
    sizes: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(_parse_sizes)] = Field(
        None, description="units of every layer, such as 784,100,10, in place of --layers"
    )
    activation: Activation = Field("softplus", description="of the hidden layers")
    init: Initialisation = Field("xavier", description="initialisation of the weights")
    init_std: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.01, description="standard deviation of --init naive"
    )
    residual: bool = Field(False, description="residual connections between layers of equal size")
    layer_norm: bool = Field(False, description="layer normalisation before each activation")

    @model_validator(mode="after")
    def _sizes_or_layers(self) -> Self:
        if self.sizes and self.layers:
            raise ValueError("give either layers or sizes, not both")
        return self

    def network_for(self, inputs: int, classes: int) -> NetworkSpec:
        """Return the network between `inputs` and `classes` units, or the one that `sizes` give."""
        return NetworkSpec(
            sizes=self.sizes or (inputs, *HIDDEN_PRESETS[self.layers or 5], classes),
            activation=self.activation,
            init=self.init,
            init_std=self.init_std,
            residual=self.residual,
            layer_norm=self.layer_norm,
        )
