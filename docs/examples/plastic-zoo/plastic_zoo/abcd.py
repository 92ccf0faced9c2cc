"""A family of Hebbian rules."""

from __future__ import annotations

import torch

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class Abcd(Rule):
    r"""Four terms, a theta each, to be searched or learned.

    .. math:: \Delta W_{ij} = A\, y_i x_j + B\, y_i + C\, x_j + D
    """

    spec = RuleSpec(
        name="abcd",
        summary="Hebb, postsynaptic, presynaptic and constant, each with a theta",
        equation=r"A\, y_i x_j + B\, y_i + C\, x_j + D",
        reference="Soltoggio, Durr, Mattiussi, Floreano 2007, doi:10.1109/CEC.2007.4424808",
        modifies="forward",
        reads={"post", "pre"},
        theta={
            "a": Theta(default=1e-4, min=None),
            "b": Theta(default=0.0, min=None),
            "c": Theta(default=0.0, min=None),
            "d": Theta(default=0.0, min=None),
        },
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return A y x' + B y + C x' + D."""
        t, all_pre = s.theta, torch.ones_like(s.pre)
        constant = t.b * s.post + t.d * torch.ones_like(s.post)
        return outer(t.a * s.post + t.c, s.pre) + outer(constant, all_pre)
