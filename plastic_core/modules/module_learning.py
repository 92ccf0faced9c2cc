"""What the layers of a model learn: from calls and the errors that come back, at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.loss import Loss
from plastic_core.api.signals import SIGNALS, Signals
from plastic_core.backends.eager.matrix_learning import MatrixLearning
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.modules.layer_call import LayerCall, LayerProducts, is_plain
from plastic_core.modules.lazy_events import LazyEvents, through
from plastic_core.modules.module_circuit import module_circuit, module_parameters
from plastic_core.modules.module_rules import ModuleRules
from plastic_core.modules.plastic_layer import PlasticLayer
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, count_updates, standard_normal
from plastic_core.networks.parameters import add_thetas

_SENT_BACK: Final = {name: one.product for name, one in SIGNALS.items() if one.product}


class ModuleLearning:
    """The matrices of layers, and what changes them.

    Args:
        layers: that learn, in the order in which they are counted.
        rules: of them.
        loss: of the output.
        mean: whether the loss is the mean over samples.
        seed: of feedback, states and noise that are drawn.

    Attributes:
        thetas: by name.

    Raises:
        PlasticError: the rules do not go together, or need what a module cannot give.
    """

    def __init__(
        self,
        layers: Sequence[PlasticLayer],
        rules: ModuleRules,
        loss: Loss,
        mean: bool,
        seed: int,
    ) -> None:
        self._layers, self._rules, self._loss, self._mean = layers, rules, loss, mean
        self._place = {id(layer): p for p, layer in enumerate(layers)}
        self._taken: dict[int, tuple[LayerCall, Signals]] = {}
        self._dtype = layers[0].module.weight.dtype
        circuit = module_circuit(layers, loss)
        hooks = rules.hooks(circuit, self._dtype)
        self._parameters = module_parameters(layers, circuit.biased, hooks, circuit, seed)
        self.thetas = dict(rules.thetas)
        add_thetas(self._parameters, hooks, self.thetas)
        like = self._parameters.weights[0]
        self._columns = {name: like.new_full((1, 1, 1), one) for name, one in self.thetas.items()}
        self._bind(circuit, hooks)

    def look_again(self) -> None:
        """Take up what has become known of the layers: their places, and which is the output."""
        circuit = module_circuit(self._layers, self._loss)
        self._bind(circuit, self._rules.hooks(circuit, self._dtype))

    def _bind(self, circuit: Circuit, hooks: Hooks) -> None:
        self._hooks, self._circuit = hooks, circuit
        parameters, like = self._parameters, self._parameters.weights[0]
        states = parameters.state
        self._own = Own(
            circuit,
            states.__getitem__,
            lambda key, shape: standard_normal(states[NOISE], key, shape, like.dtype),
        )
        every = range(len(parameters.weights))
        masks = masks_of(circuit, hooks.feedback, like.device)
        self._learning = [
            MatrixLearning(p, hooks, self._columns, parameters, masks, self.thetas) for p in every
        ]
        self._reads = [
            frozenset[str]().union(*(rule.reads for rule in hooks.local if p in rule.layers))
            for p in every
        ]
        self._plainly, self._propagate = is_plain(hooks), None
        if hooks.propagate is not None:
            self._propagate = [
                hooks.propagate_of(circuit.sends[p][0], self._own) for p in range(len(self._layers))
            ]

    @property
    def of_errors(self) -> bool:
        """Whether a rule carries an error back."""
        return self._propagate is not None

    @property
    def kept(self) -> dict[str, Tensor]:
        """Feedback and states by name."""
        own = ("weight.", "bias.", "state.theta.")
        named = self._parameters.named().items()
        return {name: value for name, value in named if not name.startswith(own)}

    def set_theta(self, name: str, theta: float) -> None:
        """Set a theta for the steps that follow.

        Raises:
            PlasticError: there is none of this name, or it is no finite number.
        """
        if name not in self.thetas:
            raise PlasticError(
                f"there is no theta '{name}'{did_you_mean(name, self.thetas)}; there are "
                f"{listing(self.thetas)}"
            )
        if not isinstance(theta, Real) or isinstance(theta, bool) or not math.isfinite(theta):
            raise PlasticError(f"theta of '{name}' = {theta!r}: expected a finite number")
        self.thetas[name] = float(theta)
        self._columns[name].fill_(theta)
        add_thetas(self._parameters, self._hooks, self.thetas)

    def forget(self) -> None:
        """Learn nothing from what came so far."""
        self._taken = {}

    def step(self) -> None:
        """Let every layer learn from what came since the last step.

        Raises:
            PlasticError: nothing came.
        """
        taken = [*self._taken.values()]
        self.forget()
        if not taken:
            raise PlasticError(
                "nothing to learn from: call the model, then step(loss), or loss.backward() and "
                "step(); calls under torch.no_grad() teach nothing"
            )
        of_layer: dict[int, list[tuple[LayerCall, Signals]]] = {}
        for call, s in taken:
            _check_unchanged(call)
            of_layer.setdefault(self._place[id(call.layer)], []).insert(0, (call, s))
        with torch.no_grad():
            together = {p: self._joined(p, of_layer[p]) for p in sorted(of_layer)}
            for p, s in together.items():
                self._learn(p, s)
        count_updates(self._parameters.state)

    def came_back(self, call: LayerCall, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Take an error up; return what goes on to the layers below, where anybody wants it."""
        layer, p = call.layer, self._place[id(call.layer)]
        if self._propagate is None:
            return None
        _check_unchanged(call)
        samples = layer.samples(call.x) if self._mean else 1
        error = layer.by_event(gradient)
        s = self._signals(call, error if samples == 1 else error * samples)
        self.take(call, s)
        if not wanted:
            return None
        if self._plainly:
            return layer.back(gradient, call.x)
        self._complete(s, p, self._hooks.propagate_reads)
        through = self._propagate[p](s)
        return layer.to_input(through if samples == 1 else through / samples, call.x)

    def take(self, call: LayerCall, s: Signals | None = None) -> None:
        """Keep the signals of one call for the next step.

        Where an error came back to the same call before, the two add up.
        """
        s = self._signals(call) if s is None else s
        _, first = self._taken.setdefault(id(call), (call, s))
        if first is not s and hasattr(first, "error"):
            self._taken[id(call)] = call, self._signals(call, first.error + s.error)

    def _joined(self, p: int, taken: Sequence[tuple[LayerCall, Signals]]) -> Signals:
        """Return the signals of several calls of a layer, one after the other.

        Raises:
            PlasticError: their mini-batches differ in size, so that they have no common mean.
        """
        sizes = [s.batch for _, s in taken]
        if len({*sizes}) > 1:
            raise PlasticError(
                f"{self._layers[p].name} was called with mini-batches of different sizes, "
                f"{', '.join(map(str, sizes))}; take a step for each, or leave a smaller last one "
                "out (DataLoader(drop_last=True)); what came back so far is forgotten"
            )
        if len(taken) == 1:
            return taken[0][1]
        layer, s = self._layers[p], self._blank(p, sizes[0])
        s.pre = s.source = torch.cat([one.pre for _, one in taken], 1)
        s.z = torch.cat([layer.by_event(call.z) for call, _ in taken], 1)
        if hasattr(taken[0][1], "error"):
            s.error = torch.cat([one.error for _, one in taken], 1)
        return s

    def _signals(self, call: LayerCall, error: Tensor | None = None) -> Signals:
        """Return the signals of one call."""
        layer, p = call.layer, self._place[id(call.layer)]
        s = self._blank(p, layer.samples(call.x))
        s.pre = s.source = layer.pre_of(call.x, call.z)
        s.z = layer.by_event(call.z)
        if error is not None:
            s.error = error
        return s

    def _blank(self, p: int, batch: int) -> Signals:
        weight = self._parameters.weights[p]
        feedback = self._parameters.feedback[p] if self._parameters.feedback else None
        s = Signals(self._circuit.sites[p], LayerProducts(weight, feedback))
        s.batch, s.weight = batch, weight
        if feedback is not None:
            s.feedback = feedback
        return s

    def _complete(self, s: Signals, p: int, names: frozenset[str]) -> None:
        """Compute the signals of `names` that are not there yet."""
        layer = self._layers[p]
        if not hasattr(s, "post"):
            if layer.post is None:
                raise PlasticError(
                    f"{layer.name} was called without its model, so that it is not known what "
                    "follows it; call the model that Plasticity was given, and in it no checkpoint "
                    "but with use_reentrant=False"
                )
            s.post = layer.post[1](s.z)
            read = self._reads[p] | self._hooks.propagate_reads
            if "z" in read and layer.module.bias is not None:
                s.z = s.z - layer.module.bias.detach()
        for name in _SENT_BACK.keys() & names:
            if not hasattr(s, name):
                matrix, of = _SENT_BACK[name]
                v = getattr(s, of)
                if matrix == "feedback":
                    setattr(s, name, s.products.feed_back(v))
                elif isinstance(s.pre, LazyEvents):
                    size = (1, v.shape[1], s.weight.shape[2])
                    setattr(s, name, LazyEvents([(1.0, through(v, s.weight))], size, v))
                else:
                    setattr(s, name, s.products.back(v))

    def _learn(self, p: int, s: Signals) -> None:
        """Change the matrices of a layer, and its bias."""
        self._complete(s, p, self._reads[p])
        self._learning[p].update(self._own, s)
        if p + 1 in self._circuit.biased:
            bias = len(self._layers) + self._circuit.biased.index(p + 1)
            of_bias = self._blank(bias, s.batch)
            of_bias.pre = of_bias.source = s.z.new_ones(1, s.pre.shape[1], 1)
            for name in ("post", "z", "error"):
                if hasattr(s, name):
                    setattr(of_bias, name, getattr(s, name))
            self._complete(of_bias, p, self._reads[bias])
            self._learning[bias].update(self._own, of_bias)


def _check_unchanged(call: LayerCall) -> None:
    if call.x._version != call.version:
        raise PlasticError(
            f"what {call.layer.name} was called with was changed in place since, and is needed to "
            "learn from; write a new tensor in its place"
        )
