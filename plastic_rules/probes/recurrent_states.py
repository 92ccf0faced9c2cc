"""How large the states of a recurrent network are over time, and how well they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class RecurrentStates(Probe):
    r"""The norm of the hidden state over time, and the residual of Equation 6.

    .. math::
        \langle \lVert z_t \rVert \rangle, \qquad
        J = \frac{1}{N} \sum_{i=1}^{N} \sum_{t=1}^{T}
            \lVert z_t^{(i)} - W_h^\top W_h\, \sigma(z_t^{(i)}) \rVert^2

    N counts the probe points. ``state_norm`` is the first, ``recurrent_residual`` is J, and
    ``relative_recurrent_residual`` is J divided by the same sum of :math:`\lVert z_t \rVert^2`.
    """

    spec = ProbeSpec(
        name="recurrent-states",
        summary="norm of the hidden state over time, and error of its reconstruction",
        equation=(
            r"J = \frac{1}{N} \sum_i \sum_t "
            r"\lVert z_t^{(i)} - W_h^\top W_h\, \sigma(z_t^{(i)}) \rVert^2"
        ),
        reference="Equation 6 of the paper",
        networks={"recurrent"},
        measures={
            "state_norm": Measure(long_name="mean |z_t|", dims=("time",)),
            "recurrent_residual": Measure(long_name="sum over t of mean |z - W'W y|^2", dims=()),
            "relative_recurrent_residual": Measure(
                long_name="sum of |z - W'W y|^2 / sum of |z|^2", dims=()
            ),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the mean of |z_t|, and both residuals."""
        states, hidden = torch.stack(n.states, 1), torch.stack(n.hidden, 1)  # [R, T, N, n_h]
        weight = n.weights[1]
        seen = n.product(n.product(hidden.flatten(1, 2), weight.mT), weight)
        rebuilt = seen.reshape(states.shape)
        residual = _sum_of_squares(states - rebuilt)
        return {
            "state_norm": torch.linalg.vector_norm(states, dim=-1).mean(-1),
            "recurrent_residual": residual / len(n.targets),
            "relative_recurrent_residual": residual / _sum_of_squares(states),
        }


def _sum_of_squares(vectors: Tensor) -> Tensor:
    """Return the sum of |v|^2 over all vectors of each network."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norms.square().flatten(1).sum(-1)
