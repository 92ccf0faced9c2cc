"""bcm passes the tests that every rule passes, and makes units selective."""

import numpy as np
from plastic_bcm.bcm import Bcm

from plastic_core import RunSpec, run
from plastic_core.testing import RuleConformance


class TestBcm(RuleConformance):
    rule = Bcm

    def reference(self, s):
        """The equations once more, for one network and one event."""
        new = np.zeros_like(s.state.threshold)
        increment = np.zeros_like(s.weight)
        for i, (y, h) in enumerate(zip(s.post, s.state.threshold, strict=True)):
            new[i] = h + 0.01 * (y**2 - h)
            for j, x in enumerate(s.pre):
                increment[i, j] = y * (y - h) * x
        return increment, {"threshold": new}


def test_a_unit_becomes_selective():
    """Of two orthogonal inputs, each unit keeps one and loses the other."""
    inputs = np.tile(np.eye(2), (500, 1))
    spec = RunSpec(
        rule="0.01*bcm",
        options={"sizes": [2, 6, 2], "activation": "relu"},
        settings={"bcm": {"layers": 1, "rate": 0.02}},
        seeds=3,
        samples=20000,
    )
    trained = run(spec, rules=[Bcm], data=(inputs, np.tile([0, 1], 500)))
    responses = trained.parameters.weights[0].clamp_min(0).numpy()  # to either input
    strong, weak = responses.max(-1), responses.min(-1)
    active = strong > 0.1
    assert active.any()
    assert (weak[active] < 0.05 * strong[active]).all()
    # at the fixed point y = h, and h is the mean of y^2 with y at half of the points
    assert abs(strong[active].mean() - 2) < 0.3
