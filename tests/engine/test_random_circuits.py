"""Random networks of every kind: each backend gives the numbers of eager, and bp is the gradient."""

import pytest
import torch

from plastic_core import Engine
from plastic_core.backends.compiled.compiled_backend import CannotCompileError, CompiledBackend
from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.native.program import NotNativeError
from plastic_core.circuits.network import circuit_of
from tests.engine.drawn_circuits import ACTIVATIONS, NATIVE, NATIVE_IMAGES, Drawn


def assert_same(ours, reference, drawn, tolerance=1e-9):
    for name, value in reference.named().items():
        if not value.isfinite().all():
            continue
        difference = (ours.named()[name] - value).abs().max()
        assert difference <= tolerance * value.abs().max().clamp_min(1e-3), f"{name}: {drawn!r}"


def functional_is_eager(drawn):
    step, values = FunctionalStep(drawn.spec, drawn.hooks), drawn.parameters()
    thetas = {name: theta.view(-1, 1, 1) for name, theta in drawn.thetas.items()}
    for picks in drawn.order.split(drawn.batch, 1):
        values, _ = step(values, thetas, drawn.x[picks], drawn.target[picks])
    assert_same(values, drawn.eager(), drawn, 1e-9 if drawn.dtype == torch.float64 else 1e-3)


def native_is_eager(drawn):
    """Return why the native backend refuses, or None where it was compared."""
    parameters = drawn.parameters()
    try:
        backend = NativeBackend(
            drawn.spec, drawn.hooks, drawn.thetas, parameters, drawn.x, drawn.target, drawn.batch
        )
    except NotNativeError as error:
        return str(error)
    backend.advance(drawn.order)
    assert_same(parameters, drawn.eager(), drawn)
    return None


def native_tangents_are_eager(drawn, **more):
    found = []
    for native in (False, True):
        parameters = drawn.parameters()
        step = TangentStep(drawn.spec, drawn.hooks, drawn.thetas, parameters)
        if native:
            made_of = (drawn.hooks, drawn.thetas, parameters, drawn.x, drawn.target, drawn.batch)
            backend = NativeTangents(drawn.spec, *made_of, **more)
            backend.carry(step.tangents)
            backend.advance(drawn.order)
        else:
            for picks in drawn.order.split(drawn.batch, 1):
                step.step(drawn.x[picks], drawn.target[picks])
        found.append((parameters, step.tangents))
    (reference, expected), (ours, tangents) = found
    assert_same(ours, reference, drawn)
    for name, value in expected.items():
        if value.isfinite().all():
            difference = (tangents[name] - value).abs().max()
            assert difference <= 1e-9 * value.abs().max().clamp_min(1e-3), f"{name}: {drawn!r}"


def bp_is_the_gradient(number, images=False):
    drawn = Drawn(number, rule="1*bp", transforms=(), images=images)
    if drawn.surrogate:  # of which autograd knows no slope
        return
    parameters = drawn.parameters()
    weights = [w.clone().requires_grad_() for w in parameters.weights]
    picks = drawn.order[:, : drawn.batch]
    circuit, nodes = circuit_of(drawn.spec), {}
    nodes[circuit.input] = drawn.x[picks]
    for operation in circuit.operations:
        if hasattr(operation, "projection"):
            nodes[operation.z] = nodes[operation.pre] @ weights[operation.projection].mT
        else:
            inputs = [nodes[node] for node in operation.inputs]
            nodes[operation.output] = operation.map.forward(*inputs)[0]
    loss = circuit.loss.value(nodes[circuit.output], drawn.target[picks]).mean(1).sum()
    gradients = torch.autograd.grad(loss, weights)
    engine = Engine(drawn.spec, drawn.hooks, {"bp": 1.0}, parameters)
    engine.step(drawn.x[picks], drawn.target[picks])
    for new, old, gradient in zip(parameters.weights, weights, gradients, strict=True):
        torch.testing.assert_close(new - old.detach(), -gradient, rtol=1e-9, atol=1e-10)


def tangents_are_derivatives(drawn):
    """Compare with torch's own differentiation of the step, by reverse mode through all of it."""
    if drawn.surrogate:  # of which autograd knows no slope
        return
    parameters, names = drawn.parameters(), list(drawn.thetas)
    tangent_step = TangentStep(drawn.spec, drawn.hooks, drawn.thetas, parameters)
    step, values = FunctionalStep(drawn.spec, drawn.hooks), drawn.parameters()
    thetas = [drawn.thetas[name].view(-1, 1, 1).clone().requires_grad_() for name in names]
    for picks in drawn.order.split(drawn.batch, 1):
        x, target = drawn.x[picks], drawn.target[picks]
        tangent_step.step(x, target)
        values, _ = step(values, dict(zip(names, thetas, strict=True)), x, target)
    assert_same(parameters, drawn.eager(), drawn)
    source = torch.Generator().manual_seed(2)
    for name, value in values.named().items():
        if not (value.requires_grad and value.isfinite().all()):
            continue
        direction = torch.randn(value.shape, generator=source, dtype=torch.float64)
        gradients = torch.autograd.grad(
            (value * direction).sum(), thetas, retain_graph=True, allow_unused=True
        )
        found = (tangent_step.tangents[name] * direction.unsqueeze(1)).flatten(2).sum(2)
        for p, gradient in enumerate(gradients):
            expected = torch.zeros(1) if gradient is None else gradient.flatten()
            if not expected.isfinite().all():  # where autograd multiplies 0 by infinity
                continue
            difference = (found[:, p] - expected).abs().max()
            assert difference <= 1e-8 * found.abs().max().clamp_min(1e-3), f"{name}: {drawn!r}"


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_tangents_are_the_derivatives(first):
    for number in range(first, first + 10):
        tangents_are_derivatives(Drawn(number))


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_what_is_not_compiled_is_eager_and_bp_the_gradient(first):
    for number in range(first, first + 20):
        functional_is_eager(Drawn(number))
        if number % 4 == 0:
            functional_is_eager(Drawn(number, dtype=torch.float32))
        bp_is_the_gradient(number)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_networks_of_images(first):
    for number in range(first, first + 20):
        functional_is_eager(Drawn(number, images=True))
        if number % 4 == 0:
            functional_is_eager(Drawn(number, images=True, dtype=torch.float32))
            tangents_are_derivatives(Drawn(number, images=True))
        bp_is_the_gradient(number, images=True)


def test_native_is_eager():
    drawn = [Drawn(number, native=True) for number in NATIVE]
    assert {one.spec.activation for one in drawn} == {*ACTIVATIONS}
    assert [native_is_eager(one) for one in drawn] == [None] * len(drawn)


def test_native_is_eager_in_networks_of_images():
    drawn = [Drawn(number, native=True, images=True) for number in NATIVE_IMAGES]
    assert [native_is_eager(one) for one in drawn] == [None] * len(drawn)


def test_native_tangents_are_those_of_eager():
    for number in (15, 43, 47, 54, 58):  # the first three are recurrent
        native_tangents_are_eager(Drawn(number, native=True, transforms=()))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 400, 50))
def test_three_hundred_networks(first):
    for number in range(first, first + 50):
        functional_is_eager(Drawn(number))
        if number % 4 == 0:
            functional_is_eager(Drawn(number, dtype=torch.float32))
        bp_is_the_gradient(number)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 400, 50))
def test_native_is_eager_in_three_hundred_networks(first):
    numbers = range(first, first + 50)
    assert [native_is_eager(Drawn(n, native=True)) for n in numbers] == [None] * 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 200, 50))
def test_native_is_eager_in_hundred_networks_of_images(first):
    drawn = [Drawn(n, native=True, images=True) for n in range(first, first + 50)]
    assert [native_is_eager(one) for one in drawn] == [None] * 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "images"),
    # two and more networks side by side among them
    [*((n, False) for n in (102, 107, 110, 114, 116)), *((n, True) for n in (1, 6, 27, 28))],
)
@pytest.mark.usefixtures("users_compilers")
def test_torch_compile_is_eager(number, images):
    drawn = Drawn(number, images=images)
    parameters = drawn.parameters()
    backend = CompiledBackend(
        drawn.spec,
        drawn.hooks,
        drawn.thetas,
        parameters,
        drawn.x,
        drawn.target,
        drawn.batch,
        chunk=1,
    )
    backend.advance(drawn.order)
    assert_same(parameters, drawn.eager(), drawn)


@pytest.mark.slow
@pytest.mark.usefixtures("users_compilers")
def test_torch_compile_that_is_wrong_is_refused():
    """torch 2.13 takes this network for another; a version that does not gives the numbers."""
    drawn = Drawn(9, images=True)
    parameters = drawn.parameters()
    made_of = (drawn.hooks, drawn.thetas, parameters, drawn.x, drawn.target, drawn.batch)
    said = ""
    try:
        backend = CompiledBackend(drawn.spec, *made_of, chunk=1)
    except CannotCompileError as error:
        said = str(error)
    else:
        backend.advance(drawn.order)
        assert_same(parameters, drawn.eager(), drawn)
    assert said in ("", "torch.compile gives other numbers than what it was given")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 250, 50))
def test_native_tangents_are_those_of_eager_in_hundred_and_fifty_networks(first):
    for number in range(first, first + 50):
        native_tangents_are_eager(Drawn(number, native=True, transforms=()))
