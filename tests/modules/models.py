"""Models of users' own, and the networks of plastic that they are equal to."""

import torch
from torch import nn
from torch.nn import functional

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

NET = "conv 6 5x5 pad 2 / pool 2 / conv 16 5x5 / pool 2 / dense 120 / dense 84"


class LeNet(nn.Module):
    """As LeCun, Bottou, Bengio and Haffner (1998) have it, with maxima and ReLU."""

    def __init__(self, bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2, bias=bias)
        self.conv2 = nn.Conv2d(6, 16, 5, bias=bias)
        self.fc1 = nn.Linear(400, 120, bias=bias)
        self.fc2 = nn.Linear(120, 84, bias=bias)
        self.fc3 = nn.Linear(84, 10, bias=bias)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(functional.relu(self.fc2(x)))


def layers_of(model):
    """Return the layers in their order."""
    return [one for one in model.modules() if isinstance(one, nn.Linear | nn.Conv2d | nn.Conv1d)]


def engine_of(model, rule, options, transforms=(), settings=None, rules=()):
    """Return an engine of the same network in float64, whose weights the model takes over."""
    spec = RunSpec(
        rule=rule,
        task="mnist-cnn",
        options=options,
        dtype="float64",
        transforms=transforms,
        settings=settings or {},
    )
    plan = make_plan(spec, Catalogue(rules=rules))
    hooks = resolve_hooks(
        plan.selected,
        [one.transform for one in plan.transforms],
        torch.float64,
        plan.theta_layers,
        plan.circuit,
        plan.transform_layers,
    )
    parameters = initial_parameters(plan.circuit, [0], hooks.feedback, torch.float64)
    engine = Engine(plan.network, hooks, plan.thetas, parameters)
    with torch.no_grad():
        for own, weight in zip(tensors_of(model), parameters.weights, strict=True):
            own.copy_(weight.view_as(own))
    return engine


def tensors_of(model):
    """Return weights, and behind them biases, as the engine has them."""
    layers = layers_of(model)
    return [one.weight for one in layers] + [one.bias for one in layers if one.bias is not None]


def mini_batch(size, seed=0, dtype=torch.float64):
    """Return images and their classes, at random."""
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(size, 1, 28, 28, generator=source, dtype=dtype)
    return x, torch.randint(0, 10, (size,), generator=source)


def one_hot(y):
    """Return classes as the engine is told them."""
    return functional.one_hot(y, 10).double()[None]
