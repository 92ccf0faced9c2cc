"""Oja's rule in a linear layer finds the principal subspace."""

import numpy as np
import torch
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from tests.building import build_engine


def test_linear_layer_converges_to_the_principal_subspace():
    data = load_digits().data / 16
    data = data - data.mean(0)
    components = 5
    engine, _, _ = build_engine(
        "oja",
        (64, components, 2),
        activation="linear",
        settings={"oja": {"layers": 1, "theta": 0.01}},
    )
    target = torch.zeros(1, 1, 2, dtype=torch.float64)
    source = np.random.default_rng(0)
    # a decreasing theta, as stochastic approximation wants: ever larger batches
    for batch, steps in ((1, 4000), (50, 2000), (len(data), 1500)):
        target = torch.zeros(1, batch, 2, dtype=torch.float64)
        for _ in range(steps):
            picks = source.permutation(len(data))[:batch]
            engine.step(torch.from_numpy(data[picks])[None], target)
    weight = engine.parameters.weights[0][0].numpy()
    principal = PCA(components).fit(data).components_
    angles = np.degrees(subspace_angles(weight.T, principal.T))
    print("principal angles in degrees:", np.round(angles, 4))
    assert angles.max() < 0.5
    np.testing.assert_allclose(weight @ weight.T, np.eye(components), atol=0.01)
