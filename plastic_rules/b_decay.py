"""Decay of the feedback matrices."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl


class BDecay(Rule):
    r"""Every feedback weight decays by the same fraction, once an update.

    .. math:: \Delta B_l = -\theta\, B_l

    The second term of B in Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024). The
    paper prints it with a plus sign, with which B would grow without bound for a positive
    theta.
    """

    spec = RuleSpec(
        name="b-decay",
        summary="every feedback weight decays by the same fraction",
        equation=r"-B_l",
        reference="Kolen, Pollack 1994, doi:10.1109/ICNN.1994.374486",
        modifies="feedback",
        reads=set(),
        theta=Theta(default=1e-6, max=1),
        feedback="layer",
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -B."""
        return decay()
