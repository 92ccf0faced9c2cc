"""The embedded digits of 8 x 8 pixels, learned by a convolutional network; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, NetworkOptions, TaskSpec
from plastic_tasks.digits_mlp import DigitsMlp
from plastic_tasks.sources import DIGITS

#: The layers unless ``net`` says others.
NET: Final = ("conv 8 3x3", "pool 2", "conv 16 3x3 pad 1", "dense 50")


class DigitsCnn(DigitsMlp):
    """The digits that come with scikit-learn, learned by a convolutional network.

    The data are those of digits-mlp. The network is conv 8 3x3 / pool 2 / conv 16 3x3 pad 1 /
    dense 50, or any by ``net``.
    """

    spec = TaskSpec(
        name="digits-cnn",
        summary="embedded 8x8 digits by a convolutional network; needs no download",
        options=NetworkOptions,
        data=(DIGITS,),
    )

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network from 8 x 8 pixels to 10 classes."""
        return super().network(options.with_net(NET))
