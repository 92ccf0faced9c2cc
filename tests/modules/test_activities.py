"""What the activity of a layer is: behind the activation function that follows it."""

import pytest
import torch
from torch import nn

from plastic_core import Plasticity
from tests.modules.models import LeNet, mini_batch


def test_it_says_what_learns_and_what_the_activity_is():
    model = LeNet()
    plasticity = Plasticity(model, "0.01*bp + 1e-4*oja", layers=["conv1", "fc3"])
    assert repr(plasticity).splitlines() == [
        "Plasticity('0.01*bp + 1e-4*oja'): theta bp 0.01, oja 0.0001",
        "  conv1: 6 x 25, post: known once the model was called",
        "  fc3: 10 x 84, post: known once the model was called",
        "  left alone: conv2.weight, conv2.bias, fc1.weight, fc1.bias, fc2.weight, fc2.bias",
    ]
    model(mini_batch(2, dtype=torch.float32)[0])
    assert repr(plasticity).splitlines()[1:3] == [
        "  conv1: 6 x 25, post: relu",
        "  fc3: 10 x 84, post: what cross-entropy makes of it",
    ]


FUNCTIONS = {
    "relu": nn.ReLU(),
    "relu in place": nn.ReLU(inplace=True),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU("tanh"),
    "softplus": nn.Softplus(beta=3, threshold=5),
    "elu": nn.ELU(alpha=0.7),
    "selu": nn.SELU(),
    "leaky relu": nn.LeakyReLU(0.2),
    "relu6": nn.ReLU6(),
    "softmax": nn.Softmax(-1),
    "log softmax": nn.LogSoftmax(-1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_activity_is_behind_the_activation_function(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), function, nn.Linear(5, 3)).double()
    first, before = model[0], model[0].weight.clone()
    x = torch.randn(4, 6, dtype=torch.float64) * 3
    with torch.no_grad():
        activity = function(first(x))
        activity = activity.exp() if isinstance(function, nn.LogSoftmax) else activity
    plasticity = Plasticity(model, "0.1*hebbian", layers=["0"])
    model(x)
    plasticity.step()
    assert (first.weight - before - 0.1 * activity.T @ x / 4).abs().max() <= 1e-12


def test_branches_are_found_when_they_are_called():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x, first):
            return {"y": self.c(torch.tanh((self.a if first else self.b)(x)))}

    model = Branches()
    plasticity = Plasticity(model, "0.1*bp + 0.1*oja", loss="squared-error")
    for first in (True, False, True):
        plasticity.step(model(torch.rand(3, 4), first)["y"].square().sum())
    assert [layer.post[0] for layer in plasticity.layers] == [
        "tanh",
        "tanh",
        "what squared-error makes of it",
    ]


@pytest.mark.parametrize(
    ("layers", "post"),
    [
        ([nn.Linear(3, 4), nn.Mish(), nn.Linear(4, 2)], "mish"),
        ([nn.Linear(3, 4), nn.CELU(0.5), nn.Linear(4, 2)], "celu"),
        ([nn.Linear(3, 4), nn.Softshrink(0.2), nn.Linear(4, 2)], "softshrink"),
        ([nn.Conv1d(1, 4, 2), nn.Flatten(), nn.ReLU(), nn.Linear(8, 2)], "relu"),
        ([nn.Linear(3, 4), nn.Softsign(), nn.Linear(4, 2)], "what the layer gives, for no"),
    ],
)
def test_more_activation_functions_are_found(layers, post):
    model = nn.Sequential(*layers)
    plasticity = Plasticity(model, "oja")
    model(torch.rand(5, 3) if isinstance(layers[0], nn.Linear) else torch.rand(5, 1, 3))
    name, _ = plasticity.layers[0].post
    assert name.startswith(post)


def test_hooks_of_others_hide_nothing():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 6), nn.Flatten())
    plasticity = Plasticity(model, "0.1*bp + 0.01*oja")
    for layer in model:
        layer.register_full_backward_hook(lambda *given: None)
    plasticity.step(model(torch.rand(5, 3, requires_grad=True)).square().mean())
    assert plasticity.layers[0].post[0] == "relu"
    assert plasticity.layers[1].post[0] == "what cross-entropy makes of it"
