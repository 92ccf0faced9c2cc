"""The embedded digits of 8 x 8 pixels, learned by a network with attention; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, NetworkOptions, Recommended, TaskSpec
from plastic_tasks.digits_mlp import DigitsMlp
from plastic_tasks.sources import DIGITS

#: The layers unless ``net`` says others.
NET: Final = ("tokens 2x2 32", "attention 4", "dense 32 residual layer-norm", "mean")

# From grids of six values for bp, and of four by four for bp and oja, ten seeds, on the choosing
# half. Less of Oja's rule is better still, down to none of it.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.01}, init="xavier", hidden=(32, 32, 32, 32)),
    Recommended(thetas={"bp": 0.01, "oja": 1e-6}, init="xavier", hidden=(32, 32, 32, 32)),
)


class DigitsAttention(DigitsMlp):
    """The digits that come with scikit-learn, learned by a network with attention.

    The data are those of digits-mlp. The network is tokens 2x2 32 /
    attention 4 / dense 32 residual layer-norm / mean, or any by ``net``.
    """

    spec = TaskSpec(
        name="digits-attention",
        summary="embedded 8x8 digits by a network with attention; needs no download",
        options=NetworkOptions,
        recommended=RECOMMENDED,
        data=(DIGITS,),
    )

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network from 8 x 8 pixels to 10 classes."""
        return super().network(options.with_net(NET))
