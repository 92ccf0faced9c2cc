"""The plain Hebbian rule."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class Hebbian(Rule):
    r"""Plain Hebbian learning: weights grow with the product of the activities.

    .. math:: \Delta W_l = \theta\, y_l\, y_{l-1}^\top

    The Hebbian part of Oja's rule (the third term of Equation 9 of Shervani-Tabar, Mirhoseini
    and Rosenbaum, 2024), without what bounds it: weights grow unless another rule or a
    transform holds them.
    """

    spec = RuleSpec(
        name="hebbian",
        summary="plain Hebbian learning, unbounded on its own",
        equation=r"y_l\, y_{l-1}^\top",
        reference="Hebb 1949, The Organization of Behavior, doi:10.4324/9781410612403",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-6),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y x'."""
        return outer(s.post, s.pre)
