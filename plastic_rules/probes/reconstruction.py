"""Inputs as they are reconstructed from the activity of each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class ReconstructionParams(BaseModel):
    """Parameters of reconstruction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: int = Field(5, gt=0, description="inputs that are reconstructed, the first ones")


class Reconstruction(Probe):
    r"""What is left of an input in each layer.

    .. math:: \hat x_l = W_1^\top W_2^\top \cdots W_l^\top\, y_l

    The paper does not say how its images are decoded; this is the linear reconstruction that the
    residual of Equation 2 measures, through every layer below (`Snapshot.sent_down`).
    ``reconstruction`` holds :math:`\hat x_l`, ``reconstruction_input`` the inputs. Measured at the
    last point alone, unless ``--set reconstruction.when=every``.
    """

    spec = ProbeSpec(
        name="reconstruction",
        summary="inputs as they are reconstructed from each layer's activity",
        equation=r"\hat x_l = W_1^\top \cdots W_l^\top\, y_l",
        reference="Figure 3 of the paper",
        networks={"feedforward", "layered"},
        measures={
            "reconstruction": Measure(
                long_name="input reconstructed from y_l", dims=("layer", "point", "pixel")
            ),
            "reconstruction_input": Measure(long_name="input", dims=("point", "pixel")),
        },
        when="last",
        params=ReconstructionParams,
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return W_1' ... W_l' y_l for each layer, and the inputs."""
        points: int = self.params.points
        images = []
        layers = n.activities[1:] if n.kind == "feedforward" else n.post
        for layer, y in enumerate(layers, start=1):
            places = y.shape[1] // n.activities[0].shape[1]
            images.append(n.sent_down(layer, y[:, : points * places]))
        return {
            "reconstruction": torch.stack(images, 1),
            "reconstruction_input": n.activities[0][:, :points],
        }
