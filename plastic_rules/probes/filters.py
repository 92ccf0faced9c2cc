"""What each unit of the first layer looks for, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Filters(Probe):
    r"""The weights of the first layer, laid out as what its units see.

    .. math:: F_{i,c,h,w} = W_{1,\,i,\,(c H + h) W + w}

    ``filter`` is the picture :math:`F_i` of each unit i over channels c, rows h of H, and columns w
    of W: of the patch in a convolution or in tokens, of the whole image in a dense layer, where it
    is the unit's receptive field. Where the input is no image a picture is one row.
    """

    spec = ProbeSpec(
        name="filters",
        summary="weights of each unit of the first layer as a picture: filters, receptive fields",
        equation=r"F_{i,c,h,w} = W_{1,\,i,\,(c H + h) W + w}",
        reference="Olshausen, Field 1996, doi:10.1038/381607a0",
        networks={"feedforward", "layered", "recurrent"},
        measures={
            "filter": Measure(
                long_name="weights of a unit of the first layer",
                dims=("unit", "channel", "row", "column"),
            ),
        },
        when="last",
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the rows of W_1 as pictures."""
        weight = n.weights[0]
        return {"filter": weight.reshape(*weight.shape[:2], *n.field)}
