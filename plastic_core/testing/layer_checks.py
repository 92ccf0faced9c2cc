"""What every layer must keep to: each check returns the faults that it found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.circuit import Apply, Circuit, Matrix
from plastic_core.api.layer import Layer
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import PartKind
from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.eager.engine import Engine
from plastic_core.backends.native.capture import capture
from plastic_core.backends.native.program import NotNativeError
from plastic_core.backends.native.step_table import StepTable
from plastic_core.backends.step.description import Description
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.base.fault import Fault
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks, resolve_hooks
from plastic_core.networks.masks import masks_of
from plastic_core.networks.parameters import Parameters, initial_parameters
from plastic_core.plugins.catalogue import installed

Check = Callable[[type[Layer]], list[Fault]]

# No two of a kind, so that nothing fits by chance.
_IMAGE, _OUTPUTS, _REPLICAS, _SAMPLES = (2, 6, 4), 3, 2, 5
_INPUTS: Final = math.prod(_IMAGE)

_ANNOUNCED: Final = (
    "a map keeps the precision, and is applied with units=N where it changes their number"
)
_PURE: Final = "let forward() of a map compute by torch from its inputs alone"
_BUILD: Final = "return net.activate(net.project(x, self.options.units))"


@dataclass
class _Tried:
    """The example of a layer between inputs and a readout, and points to learn."""

    circuit: Circuit
    hooks: Hooks
    thetas: dict[str, Tensor]
    parameters: Parameters
    x: Tensor
    target: Tensor


def check_builds(layer: type[Layer]) -> list[Fault]:
    """The example of the spec becomes part of a network, the same each time."""
    try:
        first, second = _circuit(layer), _circuit(layer)
    except PlasticError as error:
        return [_fault("build", str(error), "expected the example of the spec to be built")]
    same = [_same(*pair) for pair in zip(first.matrices, second.matrices, strict=False)]
    if len(first.matrices) != len(second.matrices) or not all(same):
        found = "builds another network at each call"
        accepted = "draw random numbers from a generator with a seed of its own"
        return [_fault("build", found, accepted)]
    return []


def check_forward(layer: type[Layer]) -> list[Fault]:
    """Activity is finite, of the units and the precision that were announced.

    Networks do not see each other.
    """
    for dtype in (torch.float32, torch.float64):
        tried = _tried(layer, dtype)
        forward = Evaluation(tried.circuit, tried.hooks, tried.parameters)
        try:
            both = [forward.nodes(tried.x[:1], replica) for replica in range(_REPLICAS)]
        except Exception as error:
            return [_fault("build", f"{dtype}: {describe_exception(error)}", _ANNOUNCED)]
        for node, value in both[0].items():
            rows = _SAMPLES * tried.circuit.places(node)
            expected = (1, rows, tried.circuit.units[node.series])
            finite = bool(value.isfinite().all())
            if value.shape != expected or value.dtype != dtype or not finite:
                return [
                    _fault(
                        "build",
                        f"the population {node.series} is {value.dtype} {list(value.shape)}"
                        f"{'' if finite else ' with numbers that are not finite'}",
                        f"expected finite {dtype} {list(expected)}; {_ANNOUNCED}",
                    )
                ]
    engine = Engine(tried.circuit, tried.hooks, tried.thetas, tried.parameters)
    try:
        together = engine.step(tried.x[:1].expand(_REPLICAS, -1, -1), tried.target)
    except Exception as error:
        return [_fault("build", f"learning from it raised {describe_exception(error)}", _PURE)]
    apart = torch.cat([nodes[tried.circuit.output] for nodes in both])
    if not torch.allclose(together, apart, rtol=1e-10, atol=1e-10):
        return [_fault("build", "gives a network other numbers among others", "expected the same")]
    return []


def check_error(layer: type[Layer]) -> list[Fault]:
    """The increments of gradient descent are those that autograd finds, but behind surrogates."""
    tried = _tried(layer)
    if _surrogate(tried.circuit):
        return []
    circuit, loss = tried.circuit, tried.circuit.loss
    engine = Engine(circuit, tried.hooks, tried.thetas, tried.parameters)
    signals = engine.signals(tried.x, tried.target)
    with torch.enable_grad():
        weights = [w.clone().requires_grad_() for w in tried.parameters.weights]
        free = Parameters(weights, [], {}, circuit.biased)
        forward = Evaluation(circuit, tried.hooks, free)
        values = [
            loss.value(forward.nodes(x, replica)[circuit.output], aim)
            for replica, (x, aim) in enumerate(
                zip(tried.x.unsqueeze(1), tried.target.unsqueeze(1), strict=True)
            )
        ]
        expected = torch.autograd.grad(torch.cat(values).sum(), weights)
    for p, (s, gradient) in enumerate(zip(signals, expected, strict=True)):
        off = (s.error.mT @ s.pre - gradient).abs().max().item()
        if not off <= 1e-9:
            return [
                _fault(
                    "build",
                    f"the gradient of its matrix {p + 1} is off that of autograd by {off:.2g}",
                    "expected backward() of each map to be the derivative of its forward()",
                )
            ]
    return []


def check_learning(layer: type[Layer]) -> list[Fault]:
    """It learns: every matrix changes, none where a mask leaves connections out.

    The graph that is compiled gives the numbers of the eager backend.
    """
    eager, pure = _tried(layer), _tried(layer)
    before = [w.clone() for w in eager.parameters.weights]
    engine = Engine(eager.circuit, eager.hooks, eager.thetas, eager.parameters)
    step, values = FunctionalStep(pure.circuit, pure.hooks), pure.parameters
    columns = {name: theta.view(-1, 1, 1) for name, theta in pure.thetas.items()}
    with torch.no_grad():
        for _ in range(3):
            engine.step(eager.x, eager.target)
            values, _ = step(values, columns, pure.x, pure.target)
    masks = masks_of(eager.circuit, None)["forward"]
    for p, (old, weight, mask) in enumerate(
        zip(before, eager.parameters.weights, masks, strict=True)
    ):
        if torch.equal(old, weight):
            return [_fault("build", f"its matrix {p + 1} does not learn", "let z reach the output")]
        if mask is not None and bool(weight[:, ~mask].any()):
            return [_fault("build", f"its matrix {p + 1} grew out of its mask", "report this")]
        if not torch.allclose(weight, values.weights[p], rtol=1e-9, atol=1e-9):
            found = f"its matrix {p + 1} learns otherwise where it is compiled"
            return [_fault("build", found, _PURE)]
    return []


def check_theta_derivative(layer: type[Layer]) -> list[Fault]:
    """The derivative of the weights by theta is that of finite differences, but for surrogates."""
    if _surrogate(_circuit(layer)):
        return []
    small, ends = 1e-5, []
    for shift in (small, -small):
        moved = _tried(layer)
        moved.thetas["bp"] += shift
        engine = Engine(moved.circuit, moved.hooks, moved.thetas, moved.parameters)
        with torch.no_grad():
            for _ in range(3):
                engine.step(moved.x, moved.target)
        ends.append(moved.parameters.named())
    tried = _tried(layer)
    step = TangentStep(tried.circuit, tried.hooks, tried.thetas, tried.parameters)
    try:
        for _ in range(3):
            step.step(tried.x, tried.target)
    except Exception as error:
        return [_fault("build", f"differentiating it raised {describe_exception(error)}", _PURE)]
    for name, tangent in step.tangents.items():
        expected = (ends[0][name] - ends[1][name]) / (2 * small)
        off = (tangent[:, 0] - expected).abs().max().item()
        if not off <= 1e-6 * max(1.0, expected.abs().max().item()):
            found = f"the derivative of {name} by theta is off that of differences by {off:.2g}"
            return [_fault("build", found, _PURE)]
    return []


def _surrogate(circuit: Circuit) -> bool:
    return any(isinstance(o, Apply) and o.map.surrogate for o in circuit.operations)


#: In the order in which they are run; where one finds something, those that follow cannot run.
LAYER_CHECKS: Final[tuple[Check, ...]] = (
    check_builds,
    check_forward,
    check_error,
    check_learning,
    check_theta_derivative,
)


def backends(layer: type[Layer]) -> str:
    """Return which backends take the example, and why native does not."""
    tried = _tried(layer)
    try:
        step = Description(tried.circuit, tried.hooks)
        StepTable(step, capture(step, torch.float64))
    except NotNativeError as error:
        return f"compiled, eager; not native: {error}"
    return "native, compiled, eager"


def _circuit(layer: type[Layer]) -> Circuit:
    def find(kind: PartKind, name: str) -> type[Any]:
        ours = kind == "layer" and name == layer.spec.name
        plugin: type[Any] = layer if ours else installed(kind, name)
        return plugin

    spec = LayeredSpec(
        inputs=_INPUTS,
        net=layer.spec.example,
        outputs=_OUTPUTS,
        activation="tanh",
        image=_IMAGE,
    )
    return circuit_of(spec, find)


def _tried(layer: type[Layer], dtype: torch.dtype = torch.float64) -> _Tried:
    circuit = _circuit(layer)
    everywhere = frozenset(range(len(circuit.matrices)))
    hooks = resolve_hooks([(installed("rule", "bp")(), everywhere)], dtype=dtype)
    source = torch.Generator().manual_seed(0)
    x = torch.randn(_REPLICAS, _SAMPLES, _INPUTS, generator=source, dtype=dtype)
    labels = torch.randint(_OUTPUTS, (_REPLICAS, _SAMPLES), generator=source)
    return _Tried(
        circuit,
        hooks,
        {"bp": torch.tensor([0.05, 0.02], dtype=dtype)},
        initial_parameters(circuit, range(_REPLICAS), dtype=dtype),
        x,
        torch.eye(_OUTPUTS, dtype=dtype)[labels],
    )


def _same(one: Matrix, other: Matrix) -> bool:
    masks = [m.mask is None for m in (one, other)]
    if one.shape != other.shape or masks[0] != masks[1]:
        return False
    return one.mask is None or bool((one.mask == other.mask).all())


def _fault(method: str, found: str, accepted: str) -> Fault:
    return Fault(method, found, accepted, _BUILD)
