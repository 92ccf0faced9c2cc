"""How many dimensions the activity of each layer fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHARE = 0.95


class ExplainedVariance(Probe):
    r"""The variance of each layer's activity that its first principal components explain.

    .. math:: v_{lk} = \sum_{j \le k} \lambda_{lj} \Big/ \sum_j \lambda_{lj}

    :math:`\lambda_{lj}` are the eigenvalues of the covariance of :math:`y_l`, largest first, from
    scikit-learn's PCA of all held-out points that the run evaluates on (the few probe points
    would allow no more components than there are points); where weights are shared, of the probe
    points at all places. ``explained_variance`` is
    :math:`v_{lk}`, NaN beyond the units of a layer; ``components_95`` is the smallest k with
    :math:`v_{lk} \ge 0.95`. Measured at the last point alone, unless
    ``--set explained-variance.when=every``.
    """

    spec = ProbeSpec(
        name="explained-variance",
        summary="cumulative explained variance of each layer's activity, by PCA",
        equation=r"v_{lk} = \sum_{j \le k} \lambda_{lj} \Big/ \sum_j \lambda_{lj}",
        reference="Figure 4 of the paper; scikit-learn's PCA",
        networks={"feedforward", "layered"},
        measures={
            "explained_variance": Measure(
                long_name="cumulative explained variance", dims=("layer", "component")
            ),
            "components_95": Measure(long_name="components that explain 95% of the variance"),
        },
        when="last",
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, NDArray[Any]]:
        """Return the cumulative shares, and the number of components for 95%."""
        layers = n.evaluated[1:] if n.kind == "feedforward" else n.post
        most = max(min(y.shape[1:]) for y in layers)
        shares = np.full((len(layers[0]), len(n.weights), most), np.nan)
        for rows, layer in zip(shares.swapaxes(0, 1), layers, strict=True):
            for row, y in zip(rows, layer, strict=True):
                ratio = _explained(y.double().cpu().numpy())
                row[: len(ratio)] = ratio.cumsum()
        enough = shares >= _SHARE
        count = np.where(enough.any(-1), enough.argmax(-1) + 1, np.nan)
        return {"explained_variance": shares, "components_95": count}


def _explained(activity: NDArray[Any]) -> NDArray[Any]:
    """Return the share of the variance that each component explains."""
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # an activity that never varies has no shares
        ratio: NDArray[Any] = PCA(random_state=0).fit(activity).explained_variance_ratio_
    return ratio
