"""What Plasticity refuses, and what it says."""

import pytest
import torch
import torch.nn.utils.prune
from torch import nn

from plastic_core import PlasticError, Plasticity
from tests.modules.models import LeNet, mini_batch

CANNOT = "the rule '{}' cannot learn in a module of yours: {}"

REFUSED = {
    "feedback from the outputs": (
        {"rule": "dfa"},
        CANNOT.format(
            "dfa", "its feedback comes from the outputs of the network (feedback='output')"
        ),
    ),
    "an error that is not the layer's": (
        {"rule": "bp + hebbian-error"},
        CANNOT.format("hebbian-error", "it reads pre_error, which a layer by itself does not have"),
    ),
    "no error": (
        {"rule": "hebbian-error"},
        "hebbian-error read the error, but no rule of the expression propagates it; add one of "
        "bp, dfa, fa, kolen-pollack, sign-symmetric",
    ),
    "a theta over time": (
        {"rule": "bp", "settings": {"bp": {"theta": "cosine(0.1)"}}},
        CANNOT.format(
            "bp", "its theta changes over a run, whose length nobody knows; write a number"
        ),
    ),
    "no such module": (
        {"rule": "bp", "layers": ["fc9"]},
        "layers: the model has no module 'fc9'; did you mean 'fc1' or 'fc2' or 'fc3'?\n"
        "  there are conv1, conv2, fc1, fc2, fc3",
    ),
    "no such reduction": (
        {"rule": "bp", "reduction": "none"},
        "reduction = 'none': expected 'mean' or 'sum'",
    ),
    "settings of nothing": (
        {"rule": "bp", "settings": {"oja": {"theta": 1}}},
        "settings of oja, which this Plasticity does not use; there are bp",
    ),
    "an activation of nothing": (
        {"rule": "bp", "post": {"fc": torch.relu}},
        "post: no layer 'fc' learns; did you mean 'fc1' or 'fc2' or 'fc3'?; there are conv1, "
        "conv2, fc1, fc2, fc3",
    ),
    "an activation that is none": (
        {"rule": "bp", "post": {"fc1": "relu"}},
        "post of 'fc1' = 'relu': expected a function of z",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name(given, message):
    with pytest.raises(PlasticError) as caught:
        Plasticity(LeNet(), **given)
    assert str(caught.value) == message


MODULES = {
    "groups": (nn.Conv2d(4, 4, 3, groups=2), "groups=2, whose weights are no single matrix"),
    "reflecting": (
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        "padding (1, 1) of 'reflect'; write numbers",
    ),
    "same": (nn.Conv2d(4, 4, 3, padding="same"), "padding 'same' of 'zeros'; write numbers"),
    "half": (nn.Linear(3, 2).bfloat16(), "weights of torch.bfloat16; write float32 or float64"),
    "frozen": (nn.Linear(3, 2).requires_grad_(False), "it is frozen (requires_grad=False)"),
    "pruned": (
        torch.nn.utils.prune.l1_unstructured(nn.Linear(3, 2), "weight", 0.5),
        "its weights are made of others, as those that are pruned or normalised",
    ),
    "lazy": (nn.LazyLinear(2), "its shape is not known before the model was called once"),
    "another": (nn.LayerNorm(3), "no linear or convolutional layer"),
}


@pytest.mark.parametrize(("module", "fault"), MODULES.values(), ids=MODULES)
def test_layers_that_cannot_be_taken(module, fault):
    model = nn.Sequential(module, nn.Linear(3, 2))
    if not isinstance(module, nn.LazyLinear):  # which waits for the first call
        assert [one.name for one in Plasticity(model, "bp").layers] == ["1"]
    with pytest.raises(PlasticError) as caught:
        Plasticity(model, "bp", layers=["0"])
    assert str(caught.value) == f"layers: '0' cannot be taken: {fault}"
    none = r"^the model has no linear or convolutional layer that|.*; call it once before$"
    with pytest.raises(PlasticError, match=none):
        Plasticity(nn.Sequential(module), "bp")


def test_a_model_that_was_moved():
    model = LeNet()
    plasticity = Plasticity(model, "0.01*bp")
    x, y = mini_batch(2)
    model.double()
    with pytest.raises(PlasticError, match=r"^the weights lie elsewhere than when"):
        plasticity.step(nn.functional.cross_entropy(model(x), y))


def test_a_layer_that_is_called_without_its_model():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    plasticity = Plasticity(model, "0.01*bp")
    with pytest.raises(PlasticError, match=r"^0 was called without its model"):
        plasticity.step(model[0](torch.rand(2, 3)).sum())


def test_autocast():
    model = LeNet()
    Plasticity(model, "0.01*bp")
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(PlasticError, match=r"^Plasticity is not for autocast, .*; switch it off$"),
    ):
        model(mini_batch(2, dtype=torch.float32)[0])


class Masked(nn.Linear):
    """Not all of its weights count."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight * 0.5, self.bias)


def hooked(module):
    module.register_forward_hook(lambda module, args, z: 2 * z)
    return module


MODULES_OF_THEIR_OWN = {
    "a forward pass": (Masked(3, 2), "Masked has a forward pass of its own"),
    "hooks": (hooked(nn.Linear(3, 2)), "it has forward hooks, which may change what it gives"),
}


@pytest.mark.parametrize(
    ("module", "fault"), MODULES_OF_THEIR_OWN.values(), ids=MODULES_OF_THEIR_OWN
)
def test_layers_that_compute_something_else(module, fault):
    with pytest.raises(PlasticError) as caught:
        Plasticity(nn.Sequential(module), "bp", layers=["0"])
    assert str(caught.value) == f"layers: '0' cannot be taken: {fault}"


def test_two_that_share_a_layer():
    model = LeNet()
    first = Plasticity(model, "bp", layers=["fc1"])
    with pytest.raises(PlasticError) as caught:
        Plasticity(model, "fa")
    assert str(caught.value) == (
        "layers: 'fc1' cannot be taken: it learns by another Plasticity already; remove() that one"
    )
    first.remove()
    Plasticity(model, "fa")


def test_an_input_that_is_written_over():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    plasticity = Plasticity(model, "bp")
    x = torch.rand(2, 3)
    outputs = model(x)
    x.zero_()
    with pytest.raises(PlasticError, match=r"^what 0 was called with was changed in place since"):
        plasticity.step(outputs.sum())


def test_mini_batches_of_two_sizes_in_a_step():
    model = nn.Sequential(nn.Linear(3, 2))
    plasticity = Plasticity(model, "bp")
    loss = model(torch.rand(2, 3)).sum() + model(torch.rand(4, 3)).sum()
    with pytest.raises(PlasticError, match=r"^0 was called with mini-batches of different"):
        plasticity.step(loss)
    plasticity.step(model(torch.rand(2, 3)).sum())  # nothing of the others is left
