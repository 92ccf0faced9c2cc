"""Rules on a user's own model: the increments of the engine, in a loop of the user's own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from plastic_core import PlasticError, Plasticity
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from tests.modules.models import (
    NET,
    LeNet,
    engine_of,
    layers_of,
    mini_batch,
    one_hot,
    tensors_of,
)

RULES = {
    "bp": "0.01*bp",
    "bp and oja": "0.01*bp + 1e-3*oja",
    "fa, oja and hebbian": "0.01*fa + 1e-3*oja + 2e-3*hebbian",
    "a B that learns": "0.01*fa + 0.01*b-update + 1e-3*weight-decay",
    "kolen-pollack": "0.01*kolen-pollack",
    "sanger": "0.01*sign-symmetric + 1e-4*sanger",
}


def assert_same(model, plasticity, engine, batch=4, steps=3):
    before = [one.clone() for one in tensors_of(model)]
    for step in range(steps):
        x, y = mini_batch(batch, step)
        engine.step(x.flatten(1)[None], one_hot(y), step)
        plasticity.step(functional.cross_entropy(model(x), y))
    for own, was, expected in zip(
        tensors_of(model), before, engine.parameters.weights, strict=True
    ):
        assert (own - expected.view_as(own)).abs().max() <= 1e-10
        assert (own - was).abs().max() > 1e-7
    return engine


@pytest.mark.parametrize("bias", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_model_learns_what_the_engine_does(rule, bias):
    model = LeNet(bias).double()
    options = {"net": NET, "activation": "relu", "bias": bias}
    engine = engine_of(model, rule, options)
    plasticity = Plasticity(model, rule)
    assert_same(model, plasticity, engine)
    mine = plasticity.state_dict()
    for name, value in engine.parameters.named().items():
        if name.startswith("feedback."):
            assert (mine[name] - value).abs().max() <= 1e-10


def test_states_thetas_of_layers_and_transforms_too():
    rule, settings = "bp + oja", {"bp": {"theta.conv1": 0.02}, "oja": {"layers": "fc1,fc2"}}
    model = LeNet().double()
    theirs = {"bp": {"theta.conv1": 0.02}, "oja": {"layers": "3,4"}}
    options = {"net": NET, "activation": "relu", "bias": True, "init": "kaiming"}
    thetas = {"bp": {"theta": 0.01}, "oja": {"theta": 1e-3}}
    mine = {name: {**thetas[name], **settings[name]} for name in settings}
    theirs = {name: {**thetas[name], **theirs[name]} for name in settings}
    engine = engine_of(model, rule, options, ("adam",), theirs)
    plasticity = Plasticity(model, rule, settings=mine, transforms=["adam"])
    assert_same(model, plasticity, engine)
    assert any(name.startswith("state.adam") for name in plasticity.state_dict())


class OfZ(Rule):
    """What comes in times z, which is known before the bias."""

    spec = RuleSpec(
        name="of-z",
        summary="what comes in times z",
        equation=r"z\, y^\top",
        reference="none",
        modifies="forward",
        reads={"z", "pre"},
        theta=Theta(default=0.01),
    )

    @hookimpl
    def plastic_local_update(self, s):
        """Return it."""
        return outer(s.z, s.pre)


@pytest.mark.parametrize("rule", ["0.01*bp + 1e-3*of-z", "0.01*fa + 1e-3*of-z"])
def test_z_is_before_the_bias(rule):
    model = LeNet().double()
    options = {"net": NET, "activation": "relu", "bias": True}
    engine = engine_of(model, rule, options, rules=[OfZ])
    assert_same(model, Plasticity(model, rule, rules=[OfZ]), engine)


class Noisy(Rule):
    """Noise times what came in."""

    spec = RuleSpec(
        name="noisy",
        summary="noise times what came in",
        equation=r"\xi\, y^\top",
        reference="none",
        modifies="forward",
        reads={"pre"},
        noise={"post"},
        theta=Theta(default=0.01),
    )

    @hookimpl
    def plastic_local_update(self, s):
        """Return it."""
        return outer(s.noise.post, s.pre)


def test_noise_goes_on_from_update_to_update():
    def weights(steps):
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        plasticity = Plasticity(model, "noisy", rules=[Noisy])
        found = [model.weight.clone()]
        for _ in range(steps):
            model(torch.ones(2, 5))
            plasticity.step()
            found.append(model.weight.clone())
        return found

    first, second = weights(2), weights(2)
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[1] - first[0], first[2] - first[1])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_bp_is_gradient_descent_through_a_recurrent_model(reduction):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.take, self.keep = nn.Linear(5, 8), nn.Linear(8, 8, bias=False)
            self.answer = nn.Linear(8, 3)

        def forward(self, x):
            h = x.new_zeros(len(x), 8)
            for _ in range(4):
                h = torch.tanh(self.take(x) + self.keep(h))
            return self.answer(h)

    model, other = Recurrent().double(), Recurrent().double()
    other.load_state_dict(model.state_dict())
    plasticity = Plasticity(model, "0.1*bp", reduction=reduction)
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1 if reduction == "mean" else 0.1 / 6)
    source = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.rand(6, 5, generator=source, dtype=torch.float64)
        y = torch.randint(0, 3, (6,), generator=source)
        plasticity.step(functional.cross_entropy(model(x), y, reduction=reduction))
        optimiser.zero_grad()
        functional.cross_entropy(other(x), y, reduction=reduction).backward()
        optimiser.step()
    for own, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert (own - expected).abs().max() <= 1e-12


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (5, 3, 9, 8)),
        (nn.Conv2d(2, 4, 3, padding="valid", bias=False), (3, 2, 7, 7)),
        (nn.Conv1d(3, 4, 5, stride=2, padding=2, dilation=2), (5, 3, 17)),
        (nn.Conv1d(3, 4, 2), (3, 17)),
        (nn.Conv2d(1, 4, 3), (1, 8, 8)),
        (nn.Linear(6, 4), (5, 7, 6)),
        (nn.Linear(6, 4), (6,)),
    ],
)
def test_every_layer_gives_gradients_of_any_shape(layer, shape):
    model = nn.Sequential(nn.Tanh(), layer).double()
    below = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(model(below).square().sum(), [below, *layer.parameters()])
    for rule in ("1*bp", "1*bp + 0*oja"):
        before = [one.detach().clone() for one in layer.parameters()]
        plasticity = Plasticity(model, rule, reduction="sum", loss="squared-error")
        below.grad = None
        samples = (
            1
            if len(shape) < (2 if isinstance(layer, nn.Linear) else layer.weight.dim())
            else shape[0]
        )
        plasticity.step(model(below).square().sum())
        assert (below.grad - expected[0]).abs().max() <= 1e-10
        for own, was, gradient in zip(layer.parameters(), before, expected[1:], strict=True):
            assert ((was - own) * samples - gradient).abs().max() <= 1e-10
            own.copy_(was)
        plasticity.remove()
    assert all(one.requires_grad for one in layer.parameters())


def test_an_optimiser_changes_what_is_left_alone():
    def made():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(784, 20), nn.LayerNorm(20), nn.ReLU(inplace=True), nn.Linear(20, 10)
        )

    model, other = made(), made()
    plasticity = Plasticity(model, "0.1*bp", layers=["0"])
    assert plasticity.others == ["1.weight", "1.bias", "3.weight", "3.bias"]
    mine = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.0)
    theirs = torch.optim.SGD(other.parameters(), lr=0.1)
    for step in range(3):
        x, y = mini_batch(8, step, torch.float32)
        for one, optimiser in ((model, mine), (other, theirs)):
            optimiser.zero_grad()
            functional.cross_entropy(one(x.flatten(1)), y).backward()
            optimiser.step()
        plasticity.step()
    for own, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(own, expected, atol=1e-6)


def test_evaluation_leaves_nothing_to_learn_from():
    model = LeNet()
    plasticity = Plasticity(model, "0.01*bp")
    x, y = mini_batch(2, dtype=torch.float32)
    with torch.no_grad():
        model(x)
    model(x)  # without an error
    with pytest.raises(
        Exception, match=r"^nothing to learn from: call the model, then step\(loss\)"
    ):
        plasticity.step()
    plasticity.step(functional.cross_entropy(model(x), y))


def test_feedback_and_states_are_kept_beside_the_weights(tmp_path):
    def made(seed):
        torch.manual_seed(1)
        model = LeNet()
        return model, Plasticity(model, "0.01*fa + 1e-4*oja", transforms=["adam"], seed=seed)

    def learn(model, plasticity, first):
        for step in range(first, first + 2):
            x, y = mini_batch(2, step, torch.float32)
            plasticity.step(functional.cross_entropy(model(x), y))

    model, plasticity = made(0)
    learn(model, plasticity, 0)
    torch.save([model.state_dict(), plasticity.state_dict()], tmp_path / "kept.pt")
    learn(model, plasticity, 2)
    other, again = made(7)
    weights, own = torch.load(tmp_path / "kept.pt")
    other.load_state_dict(weights)
    again.load_state_dict(own)
    learn(other, again, 2)
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    with pytest.raises(PlasticError, match=r"^this state has .*; load it with the same rules"):
        Plasticity(LeNet(), "0.01*fa").load_state_dict(own)


@pytest.mark.slow
@pytest.mark.usefixtures("users_compilers")
def test_what_lies_between_is_compiled():
    post = dict.fromkeys(("conv1", "conv2", "fc1", "fc2"), torch.relu)
    torch.manual_seed(0)
    model, other = LeNet(), LeNet()
    other.load_state_dict(model.state_dict())
    plasticity = Plasticity(model, "0.01*fa + 1e-4*oja")
    compiled, theirs = torch.compile(other), Plasticity(other, "0.01*fa + 1e-4*oja", post=post)
    for step in range(3):
        x, y = mini_batch(2, step, torch.float32)
        plasticity.step(functional.cross_entropy(model(x), y))
        theirs.step(functional.cross_entropy(compiled(x), y))
    for own, expected in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.allclose(own, expected, atol=1e-6)
    unknown = LeNet()
    plasticity = Plasticity(unknown, "0.01*bp")
    with pytest.raises(
        Exception, match=r"what follows conv1 is compiled, .*; write post=\{'conv1'"
    ):
        torch.compile(unknown)(x)


def test_layers_are_found_wherever_they_stand():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(3, 2)), "b": nn.Conv1d(2, 2, 3)})
    assert [one.name for one in Plasticity(model, "bp").layers] == ["a.0", "b"]
    assert len(layers_of(model)) == 2


def test_a_copy_of_the_model_is_a_model_of_its_own():
    model = LeNet()
    plasticity = Plasticity(model, "0.01*bp")
    x, y = mini_batch(2, dtype=torch.float32)
    before = model.fc3.weight.clone()
    copy.deepcopy(model)(x)
    with pytest.raises(PlasticError, match=r"^nothing to learn from"):
        plasticity.step()
    functional.cross_entropy(model(x), y).backward()
    plasticity.forget()
    with pytest.raises(PlasticError, match=r"^nothing to learn from"):
        plasticity.step()
    assert torch.equal(model.fc3.weight, before)


def test_thetas_are_changed_on_the_way():
    x, y = mini_batch(4, dtype=torch.float32)
    changes = []
    for theta in (0.01, 0.02):
        torch.manual_seed(0)
        model = LeNet()
        before = model.fc2.weight.clone()
        plasticity = Plasticity(model, "bp + 0*oja")
        plasticity.set_thetas(bp=theta)
        assert plasticity.thetas["bp"] == theta
        plasticity.step(functional.cross_entropy(model(x), y))
        changes.append(model.fc2.weight - before)
    assert torch.allclose(2 * changes[0], changes[1], atol=1e-7)
    with pytest.raises(PlasticError, match=r"^there is no theta 'oj'; did you mean 'oja'\?"):
        plasticity.set_thetas(oj=1)
    with pytest.raises(PlasticError, match=r"^theta of 'bp' = nan: expected a finite number$"):
        plasticity.set_thetas(bp=float("nan"))


def test_attention_is_left_to_an_optimiser():
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    plasticity = Plasticity(model, "0.01*bp", loss="squared-error")
    assert [layer.name for layer in plasticity.layers] == ["linear1", "linear2"]
    assert "self_attn.out_proj.weight" in plasticity.others
    model(torch.rand(2, 5, 8)).square().mean().backward()
    plasticity.step()
    assert model.self_attn.out_proj.weight.grad is not None
