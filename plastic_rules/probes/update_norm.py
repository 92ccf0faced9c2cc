"""How much one point changes each weight matrix, by rule and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class UpdateNorm(Probe):
    r"""The norm of the increments that single points give each weight matrix.

    .. math:: \langle \lVert \theta_r\, \Delta W_{r,l} \rVert_F \rangle, \qquad
        \langle \lVert \textstyle\sum_r \theta_r\, \Delta W_{r,l} \rVert_F \rangle

    What each rule r would add to :math:`W_l` in online learning, from its own hook with the
    parameters and states as they are, is computed for the first ten probe points, one by one, and
    never applied. ``rule_update_norm`` is the first mean, NaN where a rule leaves
    :math:`W_l` alone: with `bp`, the paper's :math:`|\Delta W_{BP}|`. ``update_norm`` is the other,
    transforms included: the paper's :math:`|\Delta W|`.
    """

    spec = ProbeSpec(
        name="update-norm",
        summary="norm of the increment of each weight matrix by single points, by rule and in all",
        equation=r"\langle \lVert \theta_r\, \Delta W_{r,l} \rVert_F \rangle",
        reference="Figure S1 of the paper",
        networks={"feedforward", "layered"},
        measures={
            "rule_update_norm": Measure(
                long_name="mean Frobenius norm of a rule's increment of W_l",
                dims=("rule", "layer"),
            ),
            "update_norm": Measure(long_name="mean Frobenius norm of the increment of W_l"),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the mean norms."""
        total = torch.stack([layer[""].norm().mean(-1) for layer in n.increments], 1)
        nothing = torch.full_like(total[:, 0], torch.nan)
        by_rule = [
            torch.stack(
                [layer[r].norm().mean(-1) if r in layer else nothing for layer in n.increments], 1
            )
            for r in n.rules
        ]
        return {"rule_update_norm": torch.stack(by_rule, 1), "update_norm": total}
