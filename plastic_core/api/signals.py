"""What a rule may read: the signals of one projection (one weight matrix between populations).

R counts replicas (seeds x theta values), K the events that one update sums over
(mini-batch x time; 1 in online learning of a feed-forward network).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

SignalName = Literal[
    "pre",
    "post",
    "source",
    "recon",
    "error",
    "pre_error",
    "weight_error",
    "feedback_error",
    "output_error",
    "weight",
    "feedback",
]

SIGNAL_NAMES: Final[frozenset[str]] = frozenset(get_args(SignalName))

#: Signals that exist only where an error is propagated.
ERROR_SIGNALS: Final = frozenset(
    {"error", "pre_error", "weight_error", "feedback_error", "output_error"}
)


class Signals:
    """The signals of one projection, as attributes; a rule declares in `reads` what it uses.

    Attributes:
        pre: ``[R, K, n_pre]``, what multiplies the weight: y_{l-1}.
        post: ``[R, K, n_post]``, y_l = sigma(z_l); in the output layer what the loss makes of
            z_L, such as softmax. In a residual layer this is sigma(z_l) alone, without the
            skipped activity. With layer normalisation it is sigma of the normalised z_l.
        source: ``[R, K, n_pre]``, what Oja's rule reconstructs: y_{l-1}.
        recon: ``[R, K, n_pre]``, the reconstruction W' post.
        error: ``[R, K, n_post]``, e_l = dL/dz_l of each sample, not divided by the batch, where
            z_l = W_l y_{l-1}; with layer normalisation too, which lies between z_l and sigma.
        pre_error: ``[R, K, n_pre]``, e_{l-1}: the propagated error times sigma', which is
            written as a function of the activity (softplus(10): 1 - exp(-10 y)), so that it
            exists for the input layer too; then through the layer's normalisation, if any.
        weight_error: ``[R, K, n_pre]``, W' e_l.
        feedback_error: ``[R, K, n_pre]``, B e_l (with ``feedback="output"``: B e_L).
        output_error: ``[R, K, n_L]``, e_L.
        weight: ``[R, n_post, n_pre]``, W.
        feedback: ``[R, n_pre, n_post]``, B (with ``feedback="output"``: ``[R, n_pre, n_L]``).
        state: the rule's own state in this projection, as attributes.
        batch: the size of the mini-batch.
        layer: in which it is, counted from 1.
    """

    __slots__ = (*sorted(SIGNAL_NAMES), "batch", "layer", "state")

    pre: Tensor
    post: Tensor
    source: Tensor
    recon: Tensor
    error: Tensor
    pre_error: Tensor
    weight_error: Tensor
    feedback_error: Tensor
    output_error: Tensor
    weight: Tensor
    feedback: Tensor
    state: Any
    batch: int
    layer: int

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def __getattr__(self, name: str) -> Tensor:
        """Explain a signal that was not computed (Python calls this for unset slots only)."""
        if name in SIGNAL_NAMES:
            raise AttributeError(
                f"the signal '{name}' was not computed: a rule must read the same signals at every "
                "step, for the engine computes those that it saw the rule read when it was built"
            )
        raise AttributeError(
            f"there is no signal '{name}'; the signals are {', '.join(sorted(SIGNAL_NAMES))}"
        )
