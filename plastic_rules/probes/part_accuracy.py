"""How well networks do at each part of the data, so that what is forgotten is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class PartAccuracy(Probe):
    r"""The accuracy at the points of each part of the data that a stage trains on.

    .. math:: A_p = \frac{1}{\lvert p \rvert} \sum_{k \in p}
        [\operatorname{arg\,max} y_k = \operatorname{arg\,max} t_k]

    What is forgotten of a part is its accuracy at the end of its own stage, less that at the end of
    the run. Without stages of some classes, each class is a part. It is that at all held-out points
    that are evaluated, where y are the outputs that the networks are judged by, those of a readout
    where the run has one; NaN where they have numbers to predict.
    """

    spec = ProbeSpec(
        name="part-accuracy",
        summary="accuracy at each part of the data that a stage trains on",
        equation=r"\frac{1}{\lvert p \rvert} \sum_{k \in p} [\arg\max y_k = \arg\max t_k]",
        reference="Lopez-Paz, Ranzato 2017, arXiv:1706.08840",
        networks={"feedforward", "layered", "recurrent"},
        measures={"part_accuracy": Measure(long_name="accuracy", dims=("part",))},
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the share of points of each part that are right."""
        target = n.all_targets
        right = (n.judged.argmax(-1) == target.argmax(-1)).double()
        right *= n.judged.isfinite().all(-1)  # of infinite activity nothing is read
        parts = [*n.parts.values()]
        if not parts:
            parts = [target.argmax(-1) == one for one in range(target.shape[1])]
        found = torch.stack([right[:, part].mean(1) for part in parts], 1)
        of_classes = bool(((target == 0) | (target == 1)).all())
        return {"part_accuracy": found if of_classes else torch.full_like(found, torch.nan)}
