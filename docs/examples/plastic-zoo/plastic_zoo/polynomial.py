"""A polynomial of pre, post and weight, to be searched or learned."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch

from plastic_core.api import Rule, RuleSpec, Signals, Theta, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

#: Names by the powers of pre, post and weight: "xy" is Hebb, "yyw" the decay of Oja's rule.
TERMS = {(a, b, c): "x" * a + "y" * b + "w" * c or "one" for a, b, c in product(range(3), repeat=3)}

#: Oja's rule for single units; all others begin at 0.
DEFAULTS = {"xy": 1e-4, "yyw": -1e-4}


class Polynomial(Rule):
    r"""All products of powers up to 2 of pre, post and weight, a theta each.

    .. math:: \Delta W_{ij} = \sum_{a, b, c = 0}^{2} \theta_{abc}\, x_j^a\, y_i^b\, W_{ij}^c

    A theta is called by its product, ``xy`` or ``yyw``, and the constant one ``one``: 27 of them. Hebb's
    rule, decay, covariance without its means and Oja's rule for single units, :math:`xy - y^2 w`, are
    points among them, and the defaults are the last. The source meta-learns them; so does
    ``plastic meta``, which finds all 27 of Oja's rule from networks that learned by it.
    The source has linear units, and in spiking networks other terms, of traces.
    """

    spec = RuleSpec(
        name="polynomial",
        summary="a polynomial of pre, post and weight, with a theta for each of its 27 terms",
        equation=r"\sum_{a, b, c = 0}^{2} \theta_{abc}\, x_j^a\, y_i^b\, W_{ij}^c",
        reference="Confavreux, Zenke, Agnes, Lillicrap, Vogels 2020, Advances in Neural Information "
        "Processing Systems 33",
        modifies="forward",
        reads={"post", "pre", "weight"},
        theta={name: Theta(default=DEFAULTS.get(name, 0.0), min=None) for name in TERMS.values()},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Tensor:
        """Return the sum of all terms."""
        x = torch.ones_like(s.pre), s.pre, s.pre * s.pre
        y = torch.ones_like(s.post), s.post, s.post * s.post
        w = 1.0, s.weight, s.weight * s.weight
        total = 0 * s.weight
        for a, b in product(range(3), repeat=2):
            mean = torch.bmm(y[b].mT, x[a]) / s.batch
            for c in range(3):
                total = total + getattr(s.theta, TERMS[a, b, c]) * mean * w[c]
        return total
