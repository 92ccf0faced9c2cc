"""The kits of what networks are made of find what they are there to find, and say it in full."""

import re

import pytest
import torch

from plastic_core.api import Map
from plastic_core.testing import (
    ActivationConformance,
    InitialisationConformance,
    LayerConformance,
    LossConformance,
    TransformConformance,
)
from plastic_rules.activations.tanh import Tanh
from plastic_rules.initialisations.naive import Naive
from plastic_rules.layers.dense import Dense
from plastic_rules.losses.cross_entropy import CrossEntropy
from plastic_rules.transforms.weight_bounds import WeightBounds

DRAWN = torch.Generator().manual_seed(1)


class Doubled(Map):
    """Twice the input, in double precision, with half of its derivative."""

    def forward(self, *inputs):
        return 2 * inputs[0].double(), None

    def backward(self, error, kept):
        return (error,)


class Off(Doubled):
    def forward(self, *inputs):
        return 2 * inputs[0], None


class Numpy(Map):
    """Half of the input, by NumPy, which torch cannot differentiate."""

    def forward(self, *inputs):
        return torch.as_tensor(inputs[0].numpy() / 2), inputs


class Undifferentiated(Numpy):
    def backward(self, error, kept):
        return (torch.as_tensor(error.numpy() / 2),)


class Peers(Map):
    """The input less the mean over networks."""

    def forward(self, *inputs):
        return inputs[0] - inputs[0].mean(0, keepdim=True), inputs


class Ignored(Map):
    """Nothing of the input."""

    def forward(self, *inputs):
        return inputs[0] * 0, inputs


def behind(function):
    """Return a dense layer's build() with a map behind."""
    return lambda self, net, x: net.apply(function, Dense.build(self, net, x))


def other_at_each_call(self, net, x):
    return net.project(x, 4, mask=(torch.rand(4, 48, generator=DRAWN) < 0.5).numpy())


# the kit, its test, the plugin, what is written otherwise, and what is said of it
FAULTS = {
    "activation, a number": (
        ActivationConformance,
        "test_shapes",
        Tanh,
        {"apply": lambda self, z: 1.0},
        "apply returned 1.0; expected finite numbers of type torch.float64 and shape [2, 7, 4]",
    ),
    "activation, in place": (
        ActivationConformance,
        "test_shapes",
        Tanh,
        {"apply": lambda self, z: z.tanh_()},
        "apply modifies what it is given; expected a new tensor",
    ),
    "activation, not finite": (
        ActivationConformance,
        "test_shapes",
        Tanh,
        {"slope": lambda self, z, y: z / 0},
        "slope returned numbers that are not finite; expected finite numbers of type torch.float64 and shape [2, 7, 4]",
    ),
    "activation, of others": (
        ActivationConformance,
        "test_is_elementwise",
        Tanh,
        {"apply": lambda self, z: z.softmax(-1)},
        "apply depends on other units; expected each unit by itself",
    ),
    "activation, slope reads z": (
        ActivationConformance,
        "test_slope_is_the_derivative",
        Tanh,
        {"slope": lambda self, z, y: 1 - z.tanh() ** 2},
        "slope reads z, and the spec says slope_of='y'; write slope_of='z' in the spec, or the slope as a function of y",
    ),
    "activation, another slope": (
        ActivationConformance,
        "test_slope_is_the_derivative",
        Tanh,
        {"slope": lambda self, z, y: 1 - y},
        "slope is off the derivative of apply(z) by 2; expected the derivative, or surrogate=True in the spec",
    ),
    "loss, a shape": (
        LossConformance,
        "test_shapes",
        CrossEntropy,
        {"score": lambda self, output, target: output},
        "score returned the shape [2, 7, 4]; expected finite numbers of shape [2]",
    ),
    "loss, raises": (
        LossConformance,
        "test_shapes",
        CrossEntropy,
        {"value": lambda self, output, target: 1 / 0},
        "value raised ZeroDivisionError: division by zero; expected finite numbers of shape [2, 7]",
    ),
    "loss, chance is a tensor": (
        LossConformance,
        "test_shapes",
        CrossEntropy,
        {"chance": lambda self, target: target.mean()},
        "chance returned tensor(0.2500, dtype=torch.float64); expected a finite float",
    ),
    "loss, chance raises": (
        LossConformance,
        "test_shapes",
        CrossEntropy,
        {"chance": lambda self, target: 1 / 0},
        "chance raised ZeroDivisionError: division by zero; expected a float",
    ),
    "loss, another error": (
        LossConformance,
        "test_error_is_the_derivative",
        CrossEntropy,
        {"error": lambda self, output, target: 2 * (output - target)},
        "error is off the derivative of value(output(z)) by z by 0.99; expected dL/dz of each sample, which autograd gives",
    ),
    "loss, in place": (
        LossConformance,
        "test_is_pure",
        CrossEntropy,
        {"error": lambda self, output, target: output.sub_(target)},
        "error modifies what it is given; expected new tensors",
    ),
    "loss, of others": (
        LossConformance,
        "test_is_pure",
        CrossEntropy,
        {"error": lambda self, output, target: output - target.mean(1, keepdim=True)},
        "error gives other numbers for a network or sample alone than among others; expected each one by itself, the same each time",
    ),
    "initialisation, raises": (
        InitialisationConformance,
        "test_matrices",
        Naive,
        {"draw": lambda *_, **__: 1 / 0},
        "draw raised ZeroDivisionError: division by zero; expected a matrix",
    ),
    "initialisation, single precision": (
        InitialisationConformance,
        "test_matrices",
        Naive,
        {"draw": lambda self, shape, std, source: torch.zeros(shape[:2])},
        "draw returned torch.float32; expected a tensor of torch.float64",
    ),
    "initialisation, turned": (
        InitialisationConformance,
        "test_matrices",
        Naive,
        {"draw": lambda self, shape, std, source: torch.zeros(shape[1::-1]).double()},
        "draw returned the shape [3, 5] for n_post 5, n_pre 3; expected [5, 3]",
    ),
    "initialisation, not finite": (
        InitialisationConformance,
        "test_matrices",
        Naive,
        {"draw": lambda self, shape, std, source: torch.ones(shape[:2]).double() / 0},
        "draw returned numbers that are not finite; expected finite numbers",
    ),
    "initialisation, at random": (
        InitialisationConformance,
        "test_is_repeatable",
        Naive,
        {"draw": lambda self, shape, std, source: torch.rand(shape[:2]).double()},
        "draw gives other numbers each time; expected those that source decides",
    ),
    "layer, nothing is built": (
        LayerConformance,
        "test_builds",
        Dense,
        {"build": lambda self, net, x: None},
        "build layer 1 of net, 'dense 20 bias': build() of the layer 'dense' returned None; expected a population of the network; expected the example of the spec to be built",
    ),
    "layer, another each time": (
        LayerConformance,
        "test_builds",
        Dense,
        {"build": other_at_each_call},
        "build builds another network at each call; draw random numbers from a generator with a seed of its own",
    ),
    "layer, another precision": (
        LayerConformance,
        "test_forward",
        Dense,
        {"build": behind(Doubled())},
        "build torch.float32: TrainingError: the map 'Doubled' failed: forward raised TypeError: y is torch.float64 [1, 5, 20]; expected torch.float32 [1, 5, 20]; a map keeps the precision, and is applied with units=N where it changes their number",
    ),
    "layer, another backward": (
        LayerConformance,
        "test_errors_are_those_of_autograd",
        Dense,
        {"build": behind(Off())},
        "build the gradient of its matrix 1 is off that of autograd by 1.1; expected backward() of each map to be the derivative of its forward()",
    ),
    "layer, of other networks": (
        LayerConformance,
        "test_forward",
        Dense,
        {"build": behind(Peers())},
        "build gives a network other numbers among others; expected the same",
    ),
    "layer, does not learn": (
        LayerConformance,
        "test_learns",
        Dense,
        {"build": behind(Ignored())},
        "build its matrix 1 does not learn; let z reach the output",
    ),
    "layer, no backward": (
        LayerConformance,
        "test_forward",
        Dense,
        {"build": behind(Numpy())},
        "build learning from it raised TrainingError: the map 'Numpy' failed: backward raised RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.; let forward() of a map compute by torch from its inputs alone",
    ),
    "layer, not by torch": (
        LayerConformance,
        "test_derivative_by_theta",
        Dense,
        {"build": behind(Undifferentiated())},
        "build differentiating it raised TrainingError: the map 'Undifferentiated' failed: forward raised RuntimeError: Cannot access data pointer of Tensor that doesn't have storage; let forward() of a map compute by torch from its inputs alone",
    ),
    "transform, in place": (
        TransformConformance,
        "test_increment",
        WeightBounds,
        {"plastic_transform_update": lambda self, u: u.increment.mul_(2)},
        "plastic_transform_update modifies its input in place; return the new increment",
    ),
    "transform, of other networks": (
        TransformConformance,
        "test_increment",
        WeightBounds,
        {"plastic_transform_update": lambda self, u: u.increment.sum(0)},
        "plastic_transform_update returned [4, 5]; expected the new increment, here [2, 4, 5]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_kit_finds_a_faulty_part(fault):
    kit, test, part, methods, message = FAULTS[fault]
    kind = kit.__name__.removesuffix("Conformance").lower()
    faulty = type("Mine", (part,), methods)
    tested = type("Tested", (kit,), {kind: faulty})()
    with pytest.raises(AssertionError) as caught:
        getattr(tested, test)()
    said = re.sub(r" in line \d+", "", str(caught.value))
    assert said.startswith(f"Mine: {message}\n  for example: ")
