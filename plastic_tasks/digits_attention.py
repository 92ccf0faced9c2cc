"""The embedded digits of 8 x 8 pixels, learned by a network with attention; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, NetworkOptions, TaskSpec
from plastic_tasks.digits_mlp import DigitsMlp
from plastic_tasks.sources import DIGITS

#: The layers unless ``net`` says others.
NET: Final = ("tokens 2x2 32", "attention 4", "dense 32 residual layer-norm", "mean")


class DigitsAttention(DigitsMlp):
    """The digits that come with scikit-learn, learned by a network with attention.

    The data are those of digits-mlp. The network is tokens 2x2 32 /
    attention 4 / dense 32 residual layer-norm / mean, or any by ``net``.
    """

    spec = TaskSpec(
        name="digits-attention",
        summary="embedded 8x8 digits by a network with attention; needs no download",
        options=NetworkOptions,
        data=(DIGITS,),
    )

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network from 8 x 8 pixels to 10 classes."""
        return super().network(options.with_net(NET))
