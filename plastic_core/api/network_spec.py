"""The specification of a network, and the options of tasks that have one.

This module loads no torch.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveInt, model_validator

from plastic_core.api.layered_spec import Image, LayeredSpec, Net
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.base.errors import PlasticError
from plastic_core.base.spec import LATER, Spec

NetworkKind = Literal["feedforward", "layered", "recurrent", "sequence"]
PartKind = Literal["layer", "activation", "initialisation", "loss"]


class NetworkSpec(Spec):
    r"""A feed-forward network, :math:`y_l = \sigma(W_l y_{l-1} [+ b_l])` (Equation 1).

    Attributes:
        sizes: units of each layer, input and output included.
        activation: name of the function of the hidden layers; softplus has beta = 10.
        init: name of the initialisation: "xavier" (uniform, Equation 3), "kaiming" (normal),
            "orthogonal", "identity", "zeros", "naive" (normal with standard deviation
            `init_std`), or that of a plugin.
        init_std: of "naive"; the paper's N(0, 0.01).
        residual: add y_{l-1} to y_l in every hidden layer of equal size.
        layer_norm: normalise z_l over the units of every hidden layer, before the activation,
            without gain and bias.
        loss: name of the loss, which decides the function of the output layer; "cross-entropy"
            has softmax.
        bias: whether every layer has biases. They begin at 0 and learn by the rule that propagates
            the error alone: a bias is the weight from a unit that is always 1.
    """

    sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=2)]
    activation: str = "softplus"
    init: str = "xavier"
    init_std: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    residual: bool = False
    layer_norm: bool = False
    loss: str = Field("cross-entropy", json_schema_extra=LATER)
    bias: bool = Field(False, json_schema_extra=LATER)

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
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        return self.sizes[0], self.sizes[-1]

    def between(self, inputs: int, classes: int) -> NetworkSpec:
        """Return the same network with other numbers of inputs and outputs."""
        return self.model_copy(update={"sizes": (inputs, *self.sizes[1:-1], classes)})

    @property
    def shape(self) -> str:
        """The sizes as the paper writes them, such as 784-100-10."""
        return "-".join(map(str, self.sizes))

    @property
    def skips(self) -> tuple[bool, ...]:
        """For each weight matrix, whether a residual connection goes around it."""
        hidden = pairwise(self.sizes[:-1])
        return (*(self.residual and a == b for a, b in hidden), False)


class RecurrentSpec(Spec):
    r"""A recurrent network that answers at its last step T (section 2.4 of the paper).

    .. math::
        z_1 = W_x x, \quad z_{t+1} = W_h\, \sigma(z_t) + W_x x_{t+1}, \quad
        y_T = f(W_o\, \sigma(z_T))

    The input is shown for the first steps and is 0 after them. The weight matrices are, in this
    order, :math:`W_x`, :math:`W_h` and :math:`W_o`. All rules act on :math:`W_h`; the other two
    learn by the rule that propagates the error alone. f and the error are those of the loss, at T.

    Attributes:
        inputs: number of inputs.
        hidden: number of hidden units.
        classes: number of outputs.
        present: steps for which the input is shown.
        steps: T.
        activation: name of the function of the hidden units; softplus has beta = 10.
        init: of W_h, as in `NetworkSpec`; W_x and W_o are Xavier uniform.
        init_std: of "naive".
        loss: name of the loss, as in `NetworkSpec`.
        bias: whether :math:`z_t` and the output have biases, as in `NetworkSpec`.
        layer_norm: normalise every :math:`z_t` over the hidden units, before the activation.
        residual: add :math:`y_{t-1}` to :math:`y_t`.
    """

    inputs: PositiveInt
    hidden: PositiveInt
    classes: PositiveInt
    present: PositiveInt = 5
    steps: Annotated[int, Field(ge=2)] = 50
    activation: str = "tanh"
    init: str = "xavier"
    init_std: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    loss: str = Field("cross-entropy", json_schema_extra=LATER)
    bias: bool = Field(False, json_schema_extra=LATER)
    layer_norm: bool = Field(False, json_schema_extra=LATER)
    residual: bool = Field(False, json_schema_extra=LATER)

    @model_validator(mode="after")
    def _shown_before_the_answer(self) -> Self:
        if self.present > self.steps:
            raise ValueError(
                f"present = {self.present}: the input cannot be shown for longer than the "
                f"{self.steps} steps until the answer; give at most {self.steps}"
            )
        return self

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Inputs, hidden units and outputs."""
        return (self.inputs, self.hidden, self.classes)

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return 3

    @property
    def shape(self) -> str:
        """The sizes, and the number of steps, such as 784-100-10 over 50 steps."""
        return f"{self.inputs}-{self.hidden}-{self.classes} over {self.steps} steps"

    @property
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        return self.inputs, self.classes

    def between(self, inputs: int, classes: int) -> RecurrentSpec:
        """Return the same network with other numbers of inputs and outputs."""
        return self.model_copy(update={"inputs": inputs, "classes": classes})


#: What a task's `network` may return.
AnyNetwork = NetworkSpec | LayeredSpec | RecurrentSpec | SequenceSpec


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


_BIAS: Final = "biases, which learn by the rule that propagates the error"
_LISTED: Final = "'plastic plugins' lists them"
_LOSS: Final = f"output function, error and score; {_LISTED}"


class NetworkOptions(Spec):
    """Options of a task whose network is feed-forward; a task's own options may extend them."""

    layers: Literal[5, 10] | None = Field(None, description="number of weight matrices; default 5")
    sizes: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(_parse_sizes)] = Field(
        None, description="units of every layer, such as 784,100,10, in place of --layers"
    )
    activation: str = Field("softplus", description=f"of the hidden layers; {_LISTED}")
    init: str = Field("xavier", description=f"initialisation of the weights; {_LISTED}")
    init_std: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.01, description="standard deviation of --init naive"
    )
    residual: bool = Field(False, description="residual connections between layers of equal size")
    layer_norm: bool = Field(False, description="layer normalisation before each activation")
    loss: str = Field("cross-entropy", description=_LOSS, json_schema_extra=LATER)
    bias: bool = Field(False, description=_BIAS, json_schema_extra=LATER)
    net: Net | None = Field(
        None,
        description="layers between input and readout, such as 'dense 100 / dense 50 bias', in "
        f"place of --layers; {_LISTED}",
        json_schema_extra=LATER,
    )
    image: Image | None = Field(
        None,
        description="rows and columns of data handed over, or channels, rows and columns, such as "
        "3x32x32, for layers that need them",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _written_once(self) -> Self:
        given = [name for name in ("layers", "sizes", "net") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give either {given[0]} or {given[1]}, not both")
        return self

    def with_net(self, net: tuple[str, ...]) -> Self:
        """Return the options with these layers, unless they say others themselves.

        Raises:
            PlasticError: they give `layers` or `sizes`, which are for dense layers alone.
        """
        if self.sizes or self.layers:
            raise PlasticError(
                f"{'sizes' if self.sizes else 'layers'}: that is for networks of dense layers "
                f"alone, and this one is {' / '.join(net)}; write other layers as net"
            )
        return self if self.net else self.model_copy(update={"net": net})

    def network_for(
        self, inputs: int, classes: int, image: tuple[int, int, int] | None = None
    ) -> NetworkSpec | LayeredSpec:
        """Return the network between `inputs` and `classes` units, or the one that `sizes` give.

        Args:
            inputs: number of inputs.
            classes: number of outputs.
            image: channels, rows and columns of the input, where it has such a shape.
        """
        names = ("activation", "init", "init_std", "residual", "layer_norm", "loss", "bias")
        shared = {name: getattr(self, name) for name in names}
        if self.image is not None and not self.net:
            raise PlasticError(
                "image: rows and columns are for layers that read them, and this network has none; "
                "write its layers as net, such as 'conv 8 3x3 / pool 2', or leave image out"
            )
        if self.image is not None:
            image, inputs = self.image, math.prod(self.image)
        if self.net:
            return LayeredSpec(inputs=inputs, net=self.net, outputs=classes, image=image, **shared)
        sizes = self.sizes or (inputs, *HIDDEN_PRESETS[self.layers or 5], classes)
        return NetworkSpec(sizes=sizes, **shared)


class RecurrentOptions(Spec):
    """Options of a task whose network is recurrent; a task's own options may extend them."""

    hidden: PositiveInt = Field(100, le=10**6, description="hidden units")
    present: PositiveInt = Field(5, le=10**6, description="steps for which the input is shown")
    delay: Annotated[int, Field(ge=2, le=10**6)] = Field(
        50, description="the step T at which the network answers; silence from --present on"
    )
    activation: str = Field("tanh", description=f"of the hidden units; {_LISTED}")
    init: str = Field("xavier", description=f"initialisation of the recurrent weights; {_LISTED}")
    init_std: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.01, description="standard deviation of --init naive"
    )
    loss: str = Field("cross-entropy", description=_LOSS, json_schema_extra=LATER)
    bias: bool = Field(False, description=_BIAS, json_schema_extra=LATER)
    layer_norm: bool = Field(
        False, description="layer normalisation before each activation", json_schema_extra=LATER
    )
    residual: bool = Field(
        False, description="add the activity of the step before", json_schema_extra=LATER
    )

    @model_validator(mode="after")
    def _shown_before_the_answer(self) -> Self:
        if self.present > self.delay:
            raise ValueError(
                f"present = {self.present} is longer than delay = {self.delay}, the step of the "
                f"answer; give present up to {self.delay}"
            )
        return self

    def network_for(self, inputs: int, classes: int) -> RecurrentSpec:
        """Return the network between `inputs` and `classes` units."""
        return RecurrentSpec(
            inputs=inputs,
            hidden=self.hidden,
            classes=classes,
            present=self.present,
            steps=self.delay,
            activation=self.activation,
            init=self.init,
            init_std=self.init_std,
            loss=self.loss,
            bias=self.bias,
            layer_norm=self.layer_norm,
            residual=self.residual,
        )
