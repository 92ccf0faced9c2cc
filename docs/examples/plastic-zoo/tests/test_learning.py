"""Networks learn by each rule."""

import pytest
from plastic_zoo.abcd import Abcd
from plastic_zoo.bcm import Bcm
from plastic_zoo.burst import Burst
from plastic_zoo.contrastive_hebbian import ContrastiveHebbian
from plastic_zoo.covariance import Covariance
from plastic_zoo.difference_target import DifferenceTarget
from plastic_zoo.e_prop import EProp
from plastic_zoo.equilibrium import Equilibrium
from plastic_zoo.foldiak import Foldiak
from plastic_zoo.forward_forward import ForwardForward
from plastic_zoo.krotov_hopfield import KrotovHopfield
from plastic_zoo.local_loss import LocalLoss
from plastic_zoo.node_perturbation import NodePerturbation
from plastic_zoo.pepita import Pepita
from plastic_zoo.pes import Pes
from plastic_zoo.polynomial import Polynomial
from plastic_zoo.predictive_coding import PredictiveCoding
from plastic_zoo.reward_hebbian import RewardHebbian
from plastic_zoo.rflo import Rflo
from plastic_zoo.softhebb import SoftHebb
from plastic_zoo.synaptic_scaling import SynapticScaling
from plastic_zoo.target_projection import TargetProjection
from plastic_zoo.voja import Voja
from plastic_zoo.weight_mirror import WeightMirror
from plastic_zoo.weight_perturbation import WeightPerturbation

from plastic_core import RunSpec, run

SETTLING = {"activation": "tanh", "loss": "squared-error"}

TANH, SOFTPLUS = {"activation": "tanh"}, {"activation": "softplus"}

LEARN = [
    (Abcd, "abcd + 0.02*bp", {}),
    (Bcm, "bcm + 0.02*bp", {}),
    (Burst, "0.02*burst", SOFTPLUS),
    (ContrastiveHebbian, "0.05*contrastive-hebbian", SETTLING),
    (Covariance, "covariance + 0.02*bp", {}),
    (DifferenceTarget, "0.02*difference-target", TANH),
    (EProp, "e-prop", TANH),
    (Equilibrium, "0.01*equilibrium", SETTLING | {"init": "naive", "init_std": 0.08}),
    (Foldiak, "foldiak + 0.02*bp", {}),
    (ForwardForward, "0.01*forward-forward", SOFTPLUS),
    (KrotovHopfield, "krotov-hopfield + 0.02*bp", {}),
    (LocalLoss, "0.02*local-loss", TANH),
    (NodePerturbation, "0.001*node-perturbation", TANH),
    (Pepita, "0.002*pepita", TANH),
    (Pes, "0.02*pes", TANH),
    (Polynomial, "polynomial + 0.02*bp", {}),
    (PredictiveCoding, "0.05*predictive-coding", SETTLING),
    (RewardHebbian, "reward-hebbian + 0.02*bp", {}),
    (Rflo, "0.05*rflo", TANH),
    (SoftHebb, "softhebb + 0.02*bp", {}),
    (SynapticScaling, "synaptic-scaling + 0.02*bp", {}),
    (TargetProjection, "0.005*target-projection", TANH),
    (Voja, "voja + 0.02*bp", {}),
    (WeightMirror, "0.05*fa + 0.001*weight-mirror + 0.001*b-decay", TANH),
    (WeightPerturbation, "0.0003*weight-perturbation", TANH),
]

# Those of single layers, of rules that learn in deep networks by them alone.
THETAS = {"equilibrium": {"theta.dense1": 0.1, "theta.readout": 0.002}}

SLOW = (NodePerturbation, WeightPerturbation)


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
    samples = 3000 if rule in SLOW else 300
    spec = learning(expression, options, depth, samples=samples, evaluations=5)
    loss = run(spec, rules=[rule]).curves["loss"].mean("seed").to_numpy()
    assert loss[-1] < loss[0]
