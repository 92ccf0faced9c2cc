"""Feedback that learns to mirror the weights."""

from __future__ import annotations

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class WeightMirror(Rule):
    r"""Noise sent forward leaves the transpose of the weights in the feedback.

    .. math:: \Delta B_l = \xi\, (W_l\, \xi)^\top, \qquad \xi \sim \mathcal N(0, 1)

    In the mean over the noise that is :math:`W_l^\top`. It is used beside ``fa``, which learns by
    :math:`B`, and ``b-decay``, which lets the feedback forget.
    """

    spec = RuleSpec(
        name="weight-mirror",
        summary="feedback becomes the transpose of the weights, by noise",
        equation=r"\xi\, (W_l\, \xi)^\top",
        reference="Akrout, Wilson, Humphreys, Lillicrap, Tweed 2019, arXiv:1904.05391",
        modifies="feedback",
        reads=set(),
        theta=Theta(default=1e-3),
        feedback="layer",
        noise={"pre"},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return xi (W xi)'."""
        return outer(s.noise.pre, s.forward(s.noise.pre))
