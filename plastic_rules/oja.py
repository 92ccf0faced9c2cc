"""Oja's subspace rule."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class Oja(Rule):
    r"""Oja's subspace rule: Hebbian learning of what the layer does not yet reconstruct.

    .. math::
        \Delta W_l = \theta \left( y_l\, y_{l-1}^\top - y_l\, y_l^\top W_l \right)
                   = \theta\, y_l \left( y_{l-1} - W_l^\top y_l \right)^\top

    The third term of Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024); it descends
    a simplified gradient of the reconstruction error of Equation 2. In a linear layer it drives
    :math:`W W^\top` to the identity and the rows of W to the principal subspace of the input.
    """

    spec = RuleSpec(
        name="oja",
        summary="Oja's subspace rule: Hebbian learning of the unreconstructed input",
        equation=r"y_l \left( y_{l-1} - W_l^\top y_l \right)^\top",
        reference="Oja 1989, doi:10.1142/S0129065789000475",
        modifies="forward",
        reads={"post", "source", "recon"},
        theta=Theta(default=1e-4),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y (x - W'y)'."""
        return outer(s.post, s.source - s.recon)
