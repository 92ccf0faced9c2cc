"""The kit of probes finds what it is there to find, and says it in full."""

import numpy as np
import pytest
import torch

from plastic_core.api import Measure, Probe, ProbeSpec, hookimpl
from plastic_core.testing import ProbeConformance

SEEN = []

# the test of the kit, the measure, what it says
FAULTY_PROBES = {
    "shape": (
        "test_measures",
        lambda n: n.targets,
        "returned 'mine' of shape [12, 3]; expected [R, layer], here R 2, layer 3",
    ),
    "only with errors": (
        "test_measures",
        lambda n: torch.stack([e.norm(dim=(1, 2)) for e in n.errors], 1),
        "raised AttributeError: 'NoneType' object has no attribute 'norm'; expected a result for every "
        "network",
    ),
    "nothing": (
        "test_measures_something",
        lambda n: torch.full((2, n.network.depth), torch.nan),
        "returned 'mine' without one finite number; expected numbers, and NaN only where there is "
        "nothing to measure",
    ),
    "in place": (
        "test_is_pure",
        lambda n: torch.stack([w.mul_(2).norm(dim=(1, 2)) for w in n.weights], 1),
        "modifies n.weights in place; compute new tensors, for other probes see the same ones",
    ),
    "memory": (
        "test_is_deterministic",
        lambda n: (SEEN.append(1), np.full((len(n.weights[0]), n.network.depth), len(SEEN)))[1],
        "gives other numbers for the same network a second time, in 'mine'; compute from the snapshot "
        "and the parameters alone, and keep nothing",
    ),
    "all networks": (
        "test_measures_each_network_by_itself",
        lambda n: torch.stack([w.norm().expand(len(w)) for w in n.weights], 1),
        "gives other numbers for a network alone than beside another, in 'mine'; measure each "
        "network by itself: R, the first dimension, counts them",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_PROBES)
def test_the_kit_finds_a_faulty_probe(fault):
    name, measure, message = FAULTY_PROBES[fault]

    class Mine(Probe):
        spec = ProbeSpec(
            name="mine",
            summary="of a test",
            equation="x",
            reference="none",
            measures={"mine": Measure(long_name="mine")},
        )

        @hookimpl
        def plastic_measure(self, n):
            return {"mine": measure(n)}

    class Tested(ProbeConformance):
        probe = Mine

    with pytest.raises(AssertionError) as caught:
        getattr(Tested(), name)()
    assert str(caught.value).startswith(f"Mine: plastic_measure {message}\n  for example: ")
