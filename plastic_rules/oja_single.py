"""Oja's rule for single units."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer


class OjaSingle(Rule):
    r"""Oja's first rule: every unit on its own, Hebbian learning that bounds its weights.

    .. math:: \Delta W_{ij} = \theta \left( y_i\, x_j - y_i^2\, W_{ij} \right)

    :math:`x = y_{l-1}` and :math:`y = y_l`. In a linear layer the weights of each unit become
    the first principal component of the input, of length one, the same for all units: nothing
    makes them differ, as `oja` and `sanger` do. With one unit the three are the same rule.
    """

    spec = RuleSpec(
        name="oja-single",
        summary="Oja's rule for single units, each on its own",
        equation=r"y_i\, x_j - y_i^2\, W_{ij}",
        reference="Oja 1982, doi:10.1007/BF00275687",
        modifies="forward",
        reads={"post", "source"},
        theta=Theta(default=1e-5),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y x' - y^2 W."""
        return outer(s.post, s.source) + decay(s.post.square())
