"""Which calls of a layer an update learns from, and what of a layer it changes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from plastic_core import PlasticError, Plasticity


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def points(count=6, seed=1):
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 4, generator=source, dtype=torch.float64)
    return x, torch.randint(0, 3, (count,), generator=source)


def learned(rule, teach):
    """Return by how much the weights of both layers change."""
    model = net()
    before = [one.clone() for one in model.parameters()]
    teach(model, Plasticity(model, rule))
    return [after.detach() - one for after, one in zip(model.parameters(), before, strict=True)]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("frozen", ["bias", "weight"])
def test_what_is_frozen_stays(frozen):
    model = net()
    getattr(model[0], frozen).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    plasticity = Plasticity(model, "0.1*bp")
    x, y = points()
    plasticity.step(functional.cross_entropy(model(x), y))
    name = f"0.{frozen}"
    assert name in plasticity.others
    torch.testing.assert_close(model.state_dict()[name], before[name], rtol=0, atol=0)
    assert not torch.equal(model.state_dict()["2.weight"], before["2.weight"])
    plasticity.remove()
    assert not getattr(model[0], frozen).requires_grad
    assert model[2].bias.requires_grad


def test_an_error_that_comes_in_two_parts_is_one():
    x, y = points()

    def parts(model, plasticity):
        z = model(x)
        functional.cross_entropy(z, y).backward(retain_graph=True)
        z.square().mean().backward()
        plasticity.step()

    def whole(model, plasticity):
        z = model(x)
        plasticity.step(functional.cross_entropy(z, y) + z.square().mean())

    for rule in ("0.1*bp + 0.01*oja", "0.1*fa + 0.01*oja"):
        assert_same(learned(rule, parts), learned(rule, whole))


def test_passes_add_up():
    (x, y), (x2, y2) = points(), points(seed=2)

    def one_by_one(model, plasticity):
        for inputs, labels in ((x, y), (x2, y2)):
            (functional.cross_entropy(model(inputs), labels) / 2).backward()
        plasticity.step()

    def together(model, plasticity):
        plasticity.step(functional.cross_entropy(model(torch.cat([x, x2])), torch.cat([y, y2])))

    assert_same(learned("0.1*bp", one_by_one), learned("0.1*bp", together))
    halves = learned("0.1*bp + 0.01*oja", one_by_one), learned("0.1*bp", one_by_one)
    oja = [a - b for a, b in zip(*halves, strict=True)]
    of_all = learned("0.1*bp + 0.02*oja", together), learned("0.1*bp", together)
    assert_same(oja[::2], [a - b for a, b in zip(*of_all, strict=True)][::2])


def test_a_checkpoint_teaches_once():
    x, y = points()

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            h = checkpoint(lambda one: torch.relu(self.net[0](one)), x, use_reentrant=False)
            return self.net[2](h)

    for rule in ("0.01*oja", "0.1*bp + 0.01*oja"):
        model = Checkpointed()
        plasticity = Plasticity(model, rule)
        functional.cross_entropy(model(x.requires_grad_()), y).backward()
        plasticity.step()
        plain = net()
        other = Plasticity(plain, rule)
        functional.cross_entropy(plain(x), y).backward()
        other.step()
        torch.testing.assert_close(model.net[0].weight, plain[0].weight, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("rule", ["0.01*oja", "0.1*bp"])
def test_an_input_that_was_written_over(rule):
    model, (x, y) = net(), points()
    plasticity = Plasticity(model, rule)
    loss = functional.cross_entropy(model(x), y)
    x.zero_()
    with pytest.raises(PlasticError, match="was changed in place since, and is needed to learn"):
        plasticity.step(loss)


def test_what_a_rule_sends_back_has_no_derivative():
    model, (x, _) = net(), points()
    Plasticity(model, "bp")
    with pytest.raises(PlasticError, match=r"^a backward pass with create_graph=True goes through"):
        torch.autograd.grad(model(x.requires_grad_()).sum(), x, create_graph=True)


class Twice(nn.Module):
    """A layer called with what wants an error, and with what does not, in either order."""

    def __init__(self, order):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.again, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.order = order

    def forward(self, x):
        calls = {"input": lambda: self.again(x), "hidden": lambda: self.again(self.first(x))}
        found = [calls[name]() for name in self.order]
        return self.last(sum(map(torch.tanh, found)))


def test_a_layer_that_is_called_twice_learns_the_same_in_any_order():
    x, y = points()
    for rule in ("0.1*fa + 0.01*oja", "0.1*bp + 0.01*oja"):
        seen = []
        for order in (("input", "hidden"), ("hidden", "input")):
            model = Twice(order).double()
            Plasticity(model, rule).step(functional.cross_entropy(model(x), y))
            seen.append(model.again.weight.detach())
        torch.testing.assert_close(*seen, rtol=1e-10, atol=1e-14)


def test_a_pass_that_failed_leaves_nothing():
    model, (x, y) = net(), points()
    plasticity = Plasticity(model, "0.1*bp")
    z = model(x)
    z.register_hook(lambda gradient: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plasticity.step(functional.cross_entropy(z, y))
    other = net()
    Plasticity(other, "0.1*bp").step(functional.cross_entropy(other(x), y))
    plasticity.step(functional.cross_entropy(model(x), y))
    torch.testing.assert_close(model[0].weight, other[0].weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plasticity(net(), "bp", loss=nn.CrossEntropyLoss()), "loss is a CrossEntropyLoss"),
        (lambda: Plasticity(net().parameters(), "bp"), "model is a generator; expected the"),
        (
            lambda: Plasticity(net(), "bp", transforms="adam"),
            "transforms = 'adam': expected a list",
        ),
        (lambda: Plasticity(net(), "bp", layers="0"), "layers = '0': expected a list of names"),
        (
            lambda: Plasticity(nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 2)), "bp"),
            "layers: '0' cannot be taken: its shape is not known before the model was called once; "
            "call it once before",
        ),
        (lambda: copy.deepcopy(Plasticity(net(), "bp")), "Plasticity is tied to its model, and"),
        (lambda: pickle.dumps(Plasticity(net(), "bp")), "Plasticity is tied to its model, and"),
    ],
)
def test_what_is_given_wrong(make, message):
    with pytest.raises(PlasticError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_second_backward_pass():
    model, (x, y) = net(), points()
    plasticity = Plasticity(model, "0.1*bp")
    loss = functional.cross_entropy(model(x), y)
    loss.backward()
    with pytest.raises(
        PlasticError, match=r"backward pass was taken already; write step\(\) without"
    ):
        plasticity.step(loss)


def test_thetas_are_kept_with_the_state():
    plasticity = Plasticity(net(), "0.1*bp")
    plasticity.set_thetas(bp=np.float32(0.5))
    again = Plasticity(net(), "0.1*bp")
    again.load_state_dict(plasticity.state_dict())
    assert again.thetas == {"bp": 0.5}
    with pytest.raises(PlasticError, match="expected a finite number"):
        plasticity.set_thetas(bp=True)
