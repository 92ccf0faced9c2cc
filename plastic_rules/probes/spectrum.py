"""The spectrum of the recurrent weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Spectrum(Probe):
    r"""Eigenvalues and singular values of the recurrent weights, largest first.

    .. math:: \lvert \lambda_k(W_h) \rvert, \qquad \sigma_k(W_h)

    ``eigenvalue_modulus`` decides how a state grows or fades from step to step,
    ``singular_value`` how much of it one step keeps; all of them are 1 in an orthogonal matrix,
    towards which Oja's rule drives the weights of a linear layer.
    """

    spec = ProbeSpec(
        name="spectrum",
        summary="moduli of the eigenvalues, and singular values, of the recurrent weights",
        equation=r"\lvert \lambda_k(W_h) \rvert, \quad \sigma_k(W_h)",
        reference="Section 2.4 of the paper; Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063",
        networks={"recurrent", "sequence"},
        measures={
            "eigenvalue_modulus": Measure(long_name="|eigenvalue of W_h|", dims=("mode",)),
            "singular_value": Measure(long_name="singular value of W_h", dims=("mode",)),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the moduli and the singular values, each in descending order."""
        weight = n.weights[1]
        moduli = torch.linalg.eigvals(weight).abs()
        return {
            "eigenvalue_modulus": moduli.sort(descending=True).values,
            "singular_value": torch.linalg.svdvals(weight),
        }
