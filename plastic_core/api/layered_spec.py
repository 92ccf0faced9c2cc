"""The specification of a network that is written as a list of layers.

This module loads no torch.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, FiniteFloat, JsonValue, PositiveInt, model_validator

from plastic_core.base.spec import LATER, Spec

#: A layer as text, such as "dense 100", or by name: ``{"layer": "dense", "units": 100}``.
WrittenLayer = str | dict[str, JsonValue]


_MOST: Final = 1000


def divide_text(value: Any) -> Any:
    """Accept the layers as one text, divided by slashes."""
    if isinstance(value, str):
        value = [" ".join(layer.split()) for layer in value.split("/")]
    listed = isinstance(value, list | tuple) and 1 <= len(value) <= _MOST
    if not listed or not all(isinstance(one, str | dict) and len(one) for one in value):
        raise ValueError(
            f"expected 1 to {_MOST} layers divided by ' / ', such as 'dense 100 / dense 50', or a "
            "list of them"
        )
    return tuple(value)


#: The layers between input and readout.
Net = Annotated[tuple[WrittenLayer, ...], BeforeValidator(divide_text)]


def _parse_image(value: Any) -> Any:
    """Accept an image as text, such as "3x32x32", and rows and columns alone."""
    if isinstance(value, str):
        value = value.split("x")
    if isinstance(value, list | tuple) and len(value) == 2:
        value = (1, *value)
    sides = value if isinstance(value, list | tuple) and len(value) == 3 else ("",)
    if not all(str(side).isdecimal() and 0 < int(side) < 10**6 for side in sides):
        raise ValueError(
            "expected rows and columns, such as 28x28, or channels before them, each from 1 to "
            "999999"
        )
    return tuple(map(int, sides))


#: Channels, rows and columns.
Image = Annotated[tuple[int, int, int], BeforeValidator(_parse_image)]


class LayeredSpec(Spec):
    """A network written as the layers between its input and its readout.

    The readout is a projection to the outputs, followed by the output function of the loss. What a
    layer leaves open is as the network says.

    Attributes:
        inputs: units of the input.
        net: the layers, as text or by name.
        outputs: units of the output.
        activation: as in `NetworkSpec`, as are all that follow.
        init: of every matrix, the readout's too.
        init_std: of "naive".
        residual: add the input of a layer to its output, in every dense layer of equal size.
        layer_norm: normalise before every activation function of a dense layer.
        loss: name of the loss.
        bias: whether every projection has biases.
        image: channels, rows and columns of the input, or None where it has no such shape.
    """

    inputs: PositiveInt
    net: Net
    outputs: PositiveInt
    activation: str = "softplus"
    init: str = "xavier"
    init_std: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    residual: bool = False
    layer_norm: bool = False
    loss: str = "cross-entropy"
    bias: bool = False
    image: Image | None = Field(None, json_schema_extra=LATER)

    @model_validator(mode="after")
    def _image_is_the_input(self) -> Self:
        if self.image is not None and math.prod(self.image) != self.inputs:
            raise ValueError(
                f"image = {self.image} has {math.prod(self.image)} pixels, and the network "
                f"{self.inputs} inputs; give both as many"
            )
        return self

    @property
    def shape(self) -> str:
        """Inputs, layers and outputs in one line, such as "64 / dense 100 / 10"."""
        return " / ".join(map(str, (self.inputs, *map(text_of, self.net), self.outputs)))

    @property
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        return self.inputs, self.outputs

    def between(self, inputs: int, outputs: int) -> LayeredSpec:
        """Return the same network with other numbers of inputs and outputs."""
        image = self.image if inputs == self.inputs else None
        return self.model_copy(update={"inputs": inputs, "outputs": outputs, "image": image})


def text_of(layer: WrittenLayer) -> str:
    """Return a layer as text."""
    if isinstance(layer, str):
        return layer
    (_, name), *options = layer.items()
    words = [str(name)]
    for place, (option, value) in enumerate(options):
        flag = option.replace("_", "-")
        shown = "x".join(map(str, value)) if isinstance(value, list) else str(value).lower()
        if value is True:
            words.append(flag)
        else:
            words += [shown] if place == 0 else [flag, shown]
    return " ".join(words)
