"""Random networks of every kind, with their rules and their data."""

import math

import numpy as np
import torch

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import LayeredSpec, NetworkSpec, RecurrentSpec
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

ACTIVATIONS = (
    *("softplus", "relu", "tanh", "sigmoid", "linear"),
    *("gelu", "silu", "elu", "hard-sigmoid", "step"),
)
LOSSES = ("cross-entropy", "binary-cross-entropy", "squared-error")
RULES = (
    "0.05*bp",
    "0.01*oja + 0.05*bp",
    "0.05*fa + 0.01*hebbian-error + 0.01*oja + 0.01*weight-decay + 0.01*b-update + 0.01*b-decay",
    "0.05*dfa + 0.001*oja-single",
    "0.05*kolen-pollack",
    "0.05*sign-symmetric + 0.001*sanger",
    "0.01*oja",
)
TRANSFORMS = ((), ("momentum",), ("clip-update", "weight-bounds"), ("adam",))
POINTS = 12

#: With every activation function; the first seven are recurrent, with mini-batches and all options.
NATIVE = (15, 24, 34, 35, 41, 43, 50, 1, 2, 38, 54, 58)


#: Convolutions and pools with all options, mini-batches and transforms.
NATIVE_IMAGES = (4, 5, 8, 9, 10, 38, 56)


class Drawn:
    """A network, its rules and its data, which a number decides."""

    def __init__(
        self, number, rule=None, transforms=None, native=False, dtype=torch.float64, images=False
    ):
        self.dtype = dtype
        source = np.random.default_rng(number)

        def pick(choices):
            return choices[source.integers(len(choices))]

        common = {
            "activation": pick(ACTIVATIONS),
            "loss": pick(LOSSES),
            "bias": bool(source.integers(2)),
            "layer_norm": bool(source.integers(2)),
        }
        outputs, inputs = int(source.integers(2, 6)), int(source.integers(1, 41))
        if images:
            self.spec = images_of(source, pick, outputs, common, tokens=not native)
            task = "digits-mlp"
            inputs = self.spec.inputs
        elif source.integers(3) == 0:
            steps = int(source.integers(2, 7))
            self.spec = RecurrentSpec(
                inputs=inputs,
                hidden=int(source.integers(1, 13)),
                classes=outputs,
                present=int(source.integers(1, steps + 1)),
                steps=steps,
                residual=bool(source.integers(2)),
                **common,
            )
            task = "delayed-digits-rnn"
        else:
            depth = int(source.integers(1, 6))
            hidden = [int(n) for n in source.integers(1, 41, depth - 1)]
            if len(hidden) > 1 and source.integers(2):
                hidden[1] = hidden[0]
            equal = any(a == b for a, b in zip([inputs, *hidden], hidden, strict=False))
            sizes = (inputs, *hidden, outputs)
            self.spec = NetworkSpec(sizes=sizes, residual=equal and pick((True, False)), **common)
            task = "digits-mlp"
            if hidden and source.integers(2):  # each layer has options of its own
                net = [
                    {
                        "layer": "dense",
                        "units": units,
                        "activation": pick((None, *ACTIVATIONS)),
                        "bias": pick((None, True, False)),
                        "layer_norm": pick((None, True, False)),
                        "residual": below == units and pick((True, False)),
                    }
                    for below, units in zip([inputs, *hidden], hidden, strict=False)
                ]
                self.spec = LayeredSpec(inputs=inputs, net=net, outputs=outputs, **common)
        self.rule = rule or pick(RULES)
        if native and "sign-symmetric" in self.rule:  # reads B itself
            self.rule = "0.05*bp + 0.001*hebbian"
        if native and images and "dfa" in self.rule:  # feedback to all places at once
            self.rule = "0.05*fa + 1e-3*oja"
        self.transforms = pick(TRANSFORMS) if transforms is None else transforms
        self.replicas, self.batch = int(source.integers(1, 4)), int(source.integers(1, 5))
        if images:  # adam makes steps of what is rounding
            self.transforms = tuple(t for t in self.transforms if t != "adam")
        if native:  # nothing that C is not generated for
            self.transforms = tuple(t for t in self.transforms if t != "clip-update")
            if "b-update" in self.rule or "kolen" in self.rule:
                self.transforms = ()
        plan = make_plan(
            RunSpec(rule=self.rule, task=task, transforms=self.transforms), Catalogue()
        )
        # the rules are planned for this network, not for the task's
        plan = plan.on(self.spec)
        self.circuit = plan.circuit
        everywhere = tuple(range(1, self.circuit.depth + 1))
        allowed = set(everywhere) - self.circuit.gradient_only
        for planned in plan.rules:
            layers = everywhere if planned.rule.spec.propagates else tuple(sorted(allowed))
            object.__setattr__(planned, "layers", layers)
        self.hooks = resolve_hooks(plan.selected, [t.transform for t in plan.transforms], dtype)
        self.thetas = {
            r.name: torch.full((self.replicas,), r.theta, dtype=dtype) for r in plan.rules
        }
        numbers = torch.Generator().manual_seed(number)
        self.x = torch.rand(POINTS, inputs, generator=numbers, dtype=torch.float64).to(dtype)
        labels = torch.randint(outputs, (POINTS,), generator=numbers)
        self.target = torch.eye(outputs, dtype=dtype)[labels]
        self.order = torch.randint(POINTS, (self.replicas, 3 * self.batch), generator=numbers)

    @property
    def surrogate(self):
        return any(getattr(o, "map", None) and o.map.surrogate for o in self.circuit.operations)

    def parameters(self):
        made = initial_parameters(self.spec, range(self.replicas), self.hooks.feedback, self.dtype)
        source = torch.Generator().manual_seed(1)
        for weight in made.weights[self.circuit.depth :]:  # biases that do something
            weight.copy_(torch.rand(weight.shape, generator=source, dtype=torch.float64) - 0.5)
        add_states(made, self.hooks)
        return made

    def eager(self):
        parameters = self.parameters()
        engine = Engine(self.spec, self.hooks, self.thetas, parameters)
        for picks in self.order.split(self.batch, 1):
            engine.step(self.x[picks], self.target[picks])
        return parameters

    def __repr__(self):
        return f"{self.spec!r} {self.rule} {self.transforms} {self.replicas} {self.batch}"


def images_of(source, pick, outputs, common, tokens):
    """Return a network of convolutions, pooling and dense layers, and maybe attention."""
    image = [int(n) for n in source.integers(1, 8, 3)]
    image[0] = min(image[0], 3)
    (channels, *sides), net = image, []
    for _ in range(int(source.integers(1, 4))):
        size = [int(source.integers(1, min(side, 4) + 1)) for side in sides]
        stride = int(source.integers(1, 3))
        kind = pick(("conv", "conv", "pool", "avgpool"))
        pad = 0
        if kind == "conv":
            pad, before = int(source.integers(0, 3)), channels
            channels = pick((channels, int(source.integers(1, 6))))
            options = {"channels": channels, "kernel": size, "pad": pad, "stride": stride}
            options |= {"activation": pick((None, *ACTIVATIONS)), "bias": pick((None, True))}
            options["layer_norm"] = pick((None, True, False))
        else:
            options = {"window": size, "stride": stride}
        old = sides
        sides = [(n + 2 * pad - k) // stride + 1 for n, k in zip(sides, size, strict=True)]
        if kind == "conv" and old == sides and before == channels:
            options["residual"] = pick((True, False))
        net.append({"layer": kind, **options})
    if source.integers(3) == 0 and tokens:
        heads = int(source.integers(1, 4))
        size = [pick([n for n in range(1, 4) if side % n == 0]) for side in sides]
        units = heads * int(source.integers(2, 5))
        net.append({"layer": "tokens", "patch": size, "units": units})
        net.append({"layer": "attention", "heads": heads, "layer_norm": pick((True, False))})
        net.append(
            {"layer": "dense", "units": units, "residual": True, "bias": pick((True, False))}
        )
        net.append({"layer": pick(("mean", "flatten"))})
    if source.integers(2):
        net.append({"layer": "dense", "units": int(source.integers(1, 9))})
    return LayeredSpec(
        inputs=math.prod(image), net=net, outputs=outputs, image=tuple(image), **common
    )
