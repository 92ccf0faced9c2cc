"""Networks learn by each rule."""

import pytest
from plastic_zoo.abcd import Abcd
from plastic_zoo.difference_target import DifferenceTarget
from plastic_zoo.equilibrium import Equilibrium
from plastic_zoo.foldiak import Foldiak
from plastic_zoo.node_perturbation import NodePerturbation
from plastic_zoo.pepita import Pepita
from plastic_zoo.predictive_coding import PredictiveCoding
from plastic_zoo.reward_hebbian import RewardHebbian
from plastic_zoo.rflo import Rflo
from plastic_zoo.target_projection import TargetProjection
from plastic_zoo.weight_mirror import WeightMirror

from plastic_core import RunSpec, run

SETTLING = {"activation": "tanh", "loss": "squared-error"}

LEARN = [
    (Abcd, "abcd + 0.02*bp", {}),
    (DifferenceTarget, "0.02*difference-target", {"activation": "tanh"}),
    (Equilibrium, "0.01*equilibrium", SETTLING | {"init": "naive", "init_std": 0.08}),
    (Foldiak, "foldiak + 0.02*bp", {}),
    (NodePerturbation, "0.001*node-perturbation", {"activation": "tanh"}),
    (Pepita, "0.002*pepita", {"activation": "tanh"}),
    (PredictiveCoding, "0.05*predictive-coding", SETTLING),
    (RewardHebbian, "reward-hebbian + 0.02*bp", {}),
    (Rflo, "0.05*rflo", {"activation": "tanh"}),
    (TargetProjection, "0.005*target-projection", {"activation": "tanh"}),
    (
        WeightMirror,
        "0.05*fa + 0.001*weight-mirror + 0.001*b-decay",
        {"activation": "tanh"},
    ),
]


# Of single layers, of rules that learn in deep networks by them alone.
THETAS = {"equilibrium": {"theta.dense1": 0.1, "theta.readout": 0.002}}


def learning(expression, options, depth, **more):
    """Return the run of a network with some hidden layers on the digits."""
    options = {"net": " / ".join(["dense 40"] * depth), **options}
    more["settings"] = {name: thetas for name, thetas in THETAS.items() if name in expression}
    return RunSpec(rule=expression, task="digits-mlp", options=options, seeds=2, **more)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("rule", "expression", "options"), LEARN, ids=[one[0].spec.name for one in LEARN]
)
def test_a_network_learns(rule, expression, options, depth):
    samples = 3000 if rule is NodePerturbation else 300  # it is the slowest to learn
    spec = learning(expression, options, depth, samples=samples, evaluations=5)
    loss = run(spec, rules=[rule]).curves["loss"].mean("seed").to_numpy()
    assert loss[-1] < loss[0]
