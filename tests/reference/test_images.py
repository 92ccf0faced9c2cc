"""Networks of images: every built-in rule against slow loops over places, bp against PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import LayeredSpec
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from tests.reference.slow_images import Conv, Dense, Pool, step
from tests.reference.test_rules import CASES

IMAGE, CLASSES = (2, 7, 6), 4

# networks as text, and as layers of the slow loop; patches overlap, and some lie partly outside
NETWORKS = {
    "pooled": (
        "conv 3 3x2 pad 1 / pool 2 / conv 4 2x2 / dense 5",
        [Conv(3, (3, 2), 1, 1), Pool(2), Conv(4, (2, 2)), Dense(5)],
    ),
    "strided": ("conv 3 2x3 stride 2 / conv 2 2x1", [Conv(3, (2, 3), 2), Conv(2, (2, 1))]),
}


def made(rule, net, seeds, dtype=torch.float64, settings=None, **options):
    """Return an engine, and copies of its initial parameters by name."""
    spec = LayeredSpec(inputs=84, net=net, outputs=CLASSES, image=IMAGE, **options)
    plan = make_plan(RunSpec(rule=rule, task="digits-mlp", settings=settings or {}), Catalogue())
    plan = plan.on(spec)
    everywhere = tuple(range(1, plan.circuit.depth + 1))
    for planned in plan.rules:
        object.__setattr__(planned, "layers", everywhere)
    hooks = resolve_hooks(plan.selected, dtype=dtype)
    parameters = initial_parameters(spec, range(seeds), hooks.feedback, dtype)
    add_states(parameters, hooks)
    thetas = {r.name: r.theta for r in plan.rules}
    before = {name: value.clone() for name, value in parameters.named().items()}
    return Engine(spec, hooks, thetas, parameters), before


def points(seeds, batch, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(seeds, batch, *IMAGE, generator=source, dtype=torch.float64)
    # ties, as where pixels are black
    x = torch.where(x < 0.3, 0.0, x)
    labels = torch.randint(CLASSES, (seeds, batch), generator=source)
    return x, torch.eye(CLASSES, dtype=torch.float64)[labels]


@pytest.mark.parametrize("net", NETWORKS)
@pytest.mark.parametrize("case", CASES)
def test_rule_equals_its_loop_over_places(case, net):
    expression, terms, through, settings = CASES[case]
    text, layers = NETWORKS[net]
    engine, before = made(expression, text, 2, settings=settings)
    depth = len(engine.parameters.weights)
    weights = [
        [before[f"weight.{i + 1}"][r].numpy().copy() for i in range(depth)] for r in range(2)
    ]
    feedback = [
        [before[f"feedback.{i + 1}"][r].numpy().copy() for i in range(depth)]
        if "feedback.1" in before
        else []
        for r in range(2)
    ]
    for number in range(3):
        x, target = points(2, 3, number)
        engine.step(x.flatten(2), target)
        for replica in range(2):
            step(
                [*layers, Dense(CLASSES)],
                weights[replica],
                feedback[replica],
                terms,
                x[replica].numpy(),
                target[replica].numpy(),
                through,
            )
    for name, value in engine.parameters.named().items():
        kind, layer = name.split(".")
        loops = weights if kind == "weight" else feedback
        assert (value - before[name]).abs().max() > 1e-5 or kind == "feedback"
        for replica in range(2):
            np.testing.assert_allclose(value[replica], loops[replica][int(layer) - 1], atol=1e-12)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class OverChannels(nn.Module):
    """Layer normalisation over the channels of each place."""

    def forward(self, x):
        return F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1)


def conv(*arguments, **options):
    return nn.Conv2d(*arguments, bias=False, **options)


# by PyTorch, with tanh
MODELS = {
    "conv 3 3x3 pad 1 / pool 2 / conv 5 2x2 / dense 6": lambda: nn.Sequential(
        *(conv(2, 3, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(conv(3, 5, 2), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(20, 6, bias=False), nn.Tanh(), nn.Linear(6, CLASSES, bias=False)),
    ),
    "conv 4 5x3 stride 2 pad 2 / avgpool 2 stride 1": lambda: nn.Sequential(
        *(conv(2, 4, (5, 3), stride=2, padding=2), nn.Tanh(), nn.AvgPool2d(2, 1)),
        *(nn.Flatten(), nn.Linear(4 * 3 * 3, CLASSES, bias=False)),
    ),
    "conv 3 3x3 pad 1 layer-norm / conv 3 3x3 pad 1 residual / flatten": lambda: nn.Sequential(
        *(conv(2, 3, 3, padding=1), OverChannels(), nn.Tanh()),
        Residual(nn.Sequential(conv(3, 3, 3, padding=1), nn.Tanh())),
        *(nn.Flatten(), nn.Linear(3 * 42, CLASSES, bias=False)),
    ),
    "conv 3 1x1 bias / pool 3x2 stride 2 / dense 7 bias": lambda: nn.Sequential(
        *(nn.Conv2d(2, 3, 1), nn.Tanh(), nn.MaxPool2d((3, 2), 2), nn.Flatten()),
        *(nn.Linear(3 * 9, 7), nn.Tanh(), nn.Linear(7, CLASSES, bias=False)),
    ),
}


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("net", MODELS)
def test_bp_is_the_gradient_of_the_same_model_in_pytorch(net, batch):
    engine, before = made("1*bp", net, 1, activation="tanh", init="kaiming")
    model = MODELS[net]().double()
    x, target = points(1, batch)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    ours = engine.parameters
    with torch.no_grad():
        for i, parameter in enumerate(matrices):
            parameter.copy_(before[f"weight.{i + 1}"][0].view(parameter.shape))
        for parameter in biases:
            parameter.zero_()
    F.cross_entropy(model(x[0]), target[0].argmax(-1)).backward()
    engine.step(x.flatten(2), target)
    parameters = [*matrices, *biases]
    assert len(ours.weights) == len(parameters)
    for new, (name, old), parameter in zip(ours.weights, before.items(), parameters, strict=True):
        assert parameter.grad.abs().max() > 0, name
        increment = (new - old)[0].view(parameter.shape)
        torch.testing.assert_close(increment, -parameter.grad, rtol=0, atol=1e-10)


class Attention(nn.Module):
    """Two blocks by PyTorch: attention and a dense layer at each token, normalised before."""

    def __init__(self, units, heads):
        super().__init__()
        self.tokens = nn.Linear(2 * 1 * 2, units, bias=False)
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(units, heads, bias=False, batch_first=True) for _ in range(2)
        )
        self.dense = nn.ModuleList(nn.Linear(units, units, bias=False) for _ in range(2))
        self.readout = nn.Linear(units, CLASSES, bias=False)

    def forward(self, image):
        """Take images [K, 2, 7, 6]."""
        patches = F.unfold(image, (1, 2), stride=(1, 2)).mT
        x = self.tokens(patches)
        units = x.shape[-1]
        place, unit = torch.arange(21.0).unsqueeze(1).double(), torch.arange(units)
        angle = place / 10000 ** (2 * (unit // 2) / units)
        x = x + torch.where(unit % 2 == 0, angle.sin(), angle.cos())
        for attention, dense in zip(self.attention, self.dense, strict=True):
            normal = F.layer_norm(x, x.shape[-1:])
            x = x + attention(normal, normal, normal, need_weights=False)[0]
            x = x + torch.tanh(F.layer_norm(dense(x), x.shape[-1:]))
        return self.readout(x.mean(1))

    def matrices(self):
        """Return views of all weights, in our order."""
        found = [self.tokens.weight]
        for attention, dense in zip(self.attention, self.dense, strict=True):
            found += [*attention.in_proj_weight.chunk(3), attention.out_proj.weight, dense.weight]
        return [*found, self.readout.weight]

    def gradients(self):
        found = [self.tokens.weight.grad]
        for attention, dense in zip(self.attention, self.dense, strict=True):
            found += [*attention.in_proj_weight.grad.chunk(3), attention.out_proj.weight.grad]
            found.append(dense.weight.grad)
        return [*found, self.readout.weight.grad]


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("heads", [1, 4])
def test_bp_through_attention_is_the_gradient_in_pytorch(heads, batch):
    block = f"attention {heads} / dense 8 residual layer-norm"
    net = f"tokens 1x2 8 / {block} / {block} / mean"
    engine, before = made("1*bp", net, 1, activation="tanh")
    model = Attention(8, heads).double()
    with torch.no_grad():
        for weight, old in zip(model.matrices(), before.values(), strict=True):
            weight.copy_(old[0])
    x, target = points(1, batch)
    F.cross_entropy(model(x[0]), target[0].argmax(-1)).backward()
    engine.step(x.flatten(2), target)
    for new, (name, old), gradient in zip(
        engine.parameters.weights, before.items(), model.gradients(), strict=True
    ):
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close((new - old)[0], -gradient, rtol=0, atol=1e-10)


def test_xavier_counts_the_patches_of_a_unit():
    engine, _ = made("bp", "conv 50 5x3 / dense 3", 20)
    bound = (6 / (2 * 15 + 50 * 15)) ** 0.5
    weight = engine.parameters.weights[0]
    assert weight.shape == (20, 50, 30)
    assert 0.99 * bound < weight.abs().max() <= bound
