"""Weight decay."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl


class WeightDecay(Rule):
    r"""Every weight decays by the same fraction, once an update.

    .. math:: \Delta W_l = -\theta\, W_l

    The fourth term of Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024).
    """

    spec = RuleSpec(
        name="weight-decay",
        summary="every weight decays by the same fraction",
        equation=r"-W_l",
        reference="Krogh, Hertz 1991, A simple weight decay can improve generalization, NeurIPS 4",
        modifies="forward",
        reads=set(),
        theta=Theta(default=1e-6, max=1),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -W."""
        return decay()
