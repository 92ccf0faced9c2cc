"""The anti-Hebbian rule."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class AntiHebbian(Rule):
    r"""Anti-Hebbian learning: what is active together is disconnected.

    .. math:: \Delta W_l = -\theta\, y_l\, y_{l-1}^\top

    `hebbian` with the other sign. It makes units respond less to what they have responded to,
    and is the decorrelating half of networks whose feed-forward weights learn by Hebb's rule.
    """

    spec = RuleSpec(
        name="anti-hebbian",
        summary="anti-Hebbian learning: less of what was active together",
        equation=r"-y_l\, y_{l-1}^\top",
        reference="Földiák 1990, doi:10.1007/BF02331346",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-6),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -y x'."""
        return -outer(s.post, s.pre)
