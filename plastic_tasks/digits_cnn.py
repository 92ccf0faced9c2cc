"""The embedded digits of 8 x 8 pixels, learned by a convolutional network; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, NetworkOptions, Recommended, TaskSpec
from plastic_tasks.digits_mlp import DigitsMlp
from plastic_tasks.sources import DIGITS

#: The layers unless ``net`` says others.
NET: Final = ("conv 8 3x3", "pool 2", "conv 16 3x3 pad 1", "dense 50")

# From grids of six values for bp, and of four by four for bp and oja, ten seeds, on the choosing
# half. Less of Oja's rule is better still, down to none of it.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.02}, init="xavier", hidden=(8, 8, 16, 50)),
    Recommended(thetas={"bp": 0.02, "oja": 1e-6}, init="xavier", hidden=(8, 8, 16, 50)),
)


class DigitsCnn(DigitsMlp):
    """The digits that come with scikit-learn, learned by a convolutional network.

    The data are those of digits-mlp. The network is conv 8 3x3 / pool 2 / conv 16 3x3 pad 1 /
    dense 50, or any by ``net``.
    """

    spec = TaskSpec(
        name="digits-cnn",
        summary="embedded 8x8 digits by a convolutional network; needs no download",
        options=NetworkOptions,
        recommended=RECOMMENDED,
        data=(DIGITS,),
    )

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network from 8 x 8 pixels to 10 classes."""
        return super().network(options.with_net(NET))
