"""The specification of a network that answers at each step of a sequence, and its options.

This module loads no torch.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat, PositiveInt

from plastic_core.base.spec import Spec

_LISTED = "'plastic plugins' lists them"

Leak = Annotated[FiniteFloat, Field(gt=0, le=1)]


class SequenceSpec(Spec):
    r"""A recurrent network that is shown something else at each step, and answers at each.

    .. math::
        z_t = W_x x_t + W_h y_{t-1} [+ b], \quad
        y_t = (1 - \lambda)\, y_{t-1} + \lambda\, \sigma(z_t), \quad
        o_t = f(W_o y_t [+ b_o]), \quad y_0 = 0

    The loss of a sample is the sum of those of its steps 1 .. T. The weight matrices are, in this
    order, :math:`W_x`, :math:`W_h` and :math:`W_o`, and all rules act on all of them. What they
    become is the activity: post is :math:`y_t` at :math:`W_x` and :math:`W_h`.

    Attributes:
        inputs: shown at each step.
        hidden: number of hidden units.
        outputs: answered at each step.
        steps: T, at least 2.
        leak: :math:`\lambda`, from above 0 to 1, with which nothing is kept but through
            :math:`W_h`.
        activation: name of the function of the hidden units.
        init: of all matrices, as in `NetworkSpec`.
        init_std: of "naive".
        loss: name of the loss at each step, as in `NetworkSpec`.
        bias: whether :math:`z_t` and the output have biases, as in `NetworkSpec`.
    """

    inputs: PositiveInt
    hidden: PositiveInt
    outputs: PositiveInt
    steps: Annotated[int, Field(ge=2)]
    leak: Leak = 1.0
    activation: str = "tanh"
    init: str = "xavier"
    init_std: Annotated[FiniteFloat, Field(gt=0)] = 0.01
    loss: str = "cross-entropy"
    bias: bool = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Inputs at a step, hidden units and outputs at a step."""
        return (self.inputs, self.hidden, self.outputs)

    @property
    def depth(self) -> int:
        """Number of weight matrices."""
        return 3

    @property
    def shape(self) -> str:
        """The sizes, and the number of steps, such as 2-50-2 at each of 20 steps."""
        return f"{self.inputs}-{self.hidden}-{self.outputs} at each of {self.steps} steps"

    @property
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs, those of all steps together, and of outputs at a step."""
        return self.steps * self.inputs, self.outputs

    def between(self, inputs: int, outputs: int) -> SequenceSpec:
        """Return the same network with other numbers of inputs and outputs."""
        at_each = max(1, inputs // self.steps)
        return self.model_copy(update={"inputs": at_each, "outputs": outputs})


class SequenceOptions(Spec):
    """Options of a task whose network answers at each step; a task's own may extend them."""

    hidden: PositiveInt = Field(50, le=10**6, description="hidden units")
    steps: Annotated[int, Field(ge=2, le=10**6)] = Field(20, description="steps of a sequence")
    leak: Leak = Field(
        0.5, description="how fast activity follows, up to 1, where it forgets at once"
    )
    activation: str = Field("tanh", description=f"of the hidden units; {_LISTED}")
    init: str = Field("xavier", description=f"initialisation of the weights; {_LISTED}")
    init_std: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.01, description="standard deviation of --init naive"
    )
    loss: str = Field("cross-entropy", description=f"output function, error and score; {_LISTED}")
    bias: bool = Field(
        False, description="biases, which learn by the rule that propagates the error"
    )

    def network_for(self, inputs: int, outputs: int) -> SequenceSpec:
        """Return the network between units of the input and of the output, those at a step."""
        names = ("hidden", "steps", "leak", "activation", "init", "init_std", "loss", "bias")
        shared = {name: getattr(self, name) for name in names}
        return SequenceSpec(inputs=inputs, outputs=outputs, **shared)
