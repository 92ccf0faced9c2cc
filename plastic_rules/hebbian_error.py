"""The Hebbian-style rule between errors."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class HebbianError(Rule):
    r"""Hebbian learning between the errors of two successive layers.

    .. math:: \Delta W_l = \theta\, e_l\, e_{l-1}^\top

    The second term of Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024), with the
    sign that the paper prints; it aligns forward with backward weights. In the first layer
    :math:`e_0` is the propagated error times :math:`\sigma'` as a function of the input. Its
    theta may be negative.
    """

    spec = RuleSpec(
        name="hebbian-error",
        summary="Hebbian learning between the errors of successive layers",
        equation=r"e_l\, e_{l-1}^\top",
        reference="Shervani-Tabar, Rosenbaum 2023, doi:10.1038/s41467-023-37562-1",
        modifies="forward",
        reads={"error", "pre_error"},
        theta=Theta(default=1e-4, min=None),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return e_l e_{l-1}'."""
        return outer(s.error, s.pre_error)
