"""Monomials of pre x, post y and weight w, a theta each; Oja's rule for single units is of them."""

import torch

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer

TERMS = ("x", "y", "xy", "yy", "w", "yyw")


class Monomials(Rule):
    r"""Terms of a polynomial.

    .. math:: \theta_x x_j + \theta_y y_i + \theta_{xy} y_i x_j + \theta_{yy} y_i^2
        + \theta_w w_{ij} + \theta_{yyw} y_i^2 w_{ij}
    """

    spec = RuleSpec(
        name="monomials",
        summary="terms of a polynomial of pre, post and weight",
        equation=(
            r"\theta_x x_j + \theta_y y_i + \theta_{xy} y_i x_j + \theta_{yy} y_i^2 "
            r"+ \theta_w w_{ij} + \theta_{yyw} y_i^2 w_{ij}"
        ),
        reference="Confavreux et al. 2020, NeurIPS",
        modifies="forward",
        reads={"pre", "post"},
        theta={term: Theta(default=0.0, min=None) for term in TERMS},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        t, y, squared = s.theta, s.post, s.post.square()
        products = outer(t.xy * y + t.x, s.pre)
        sums = outer(t.y * y + t.yy * squared, torch.ones_like(s.pre))
        return products + sums + decay(-t.w - t.yyw * squared)
