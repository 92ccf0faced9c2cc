"""Rules that change the weights of a user's own PyTorch model, in a loop of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from plastic_core.api.circuit import Circuit
from plastic_core.api.loss import Loss
from plastic_core.api.plugin import Rule, Transform
from plastic_core.api.signals import SIGNALS, Signals
from plastic_core.backends.eager.matrix_learning import MatrixLearning
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.hooks.tried_signals import SOMEWHERE
from plastic_core.modules.following import followings
from plastic_core.modules.lazy_events import LazyEvents, through
from plastic_core.modules.module_circuit import module_circuit
from plastic_core.modules.module_rules import ModuleRules
from plastic_core.modules.plastic_layer import PlasticLayer
from plastic_core.networks.initialisation import initial_feedback
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, count_updates, standard_normal
from plastic_core.networks.parameters import Parameters, add_states, add_thetas
from plastic_core.plugins.catalogue import Catalogue

_SENT_BACK: Final = {name: one.product for name, one in SIGNALS.items() if one.product}

Hook = TypeVar("Hook", bound=Callable[..., Any])


class Plasticity:
    r"""Lets the linear and convolutional layers of a model learn by rules.

    .. math::
        W \leftarrow W + \sum_r \theta_r\, \Delta W_r

    >>> plasticity = Plasticity(model, "0.01*bp + 1e-4*oja")  # doctest: +SKIP
    >>> plasticity.step(loss_function(model(x), y))  # doctest: +SKIP

    `step` takes the place of ``loss.backward()`` and of the step of an optimiser, for the
    parameters that are taken: they need no gradient any more, so that an optimiser of all
    parameters changes the others alone. Where the rule carries errors back through B, the
    backward pass of a layer does; else it is PyTorch's own. Increments are those of the engine for
    the same network.

    A rule reads of a layer: pre, what it is called with (of a convolution the patch of a place);
    post, the activity behind the activation function that directly follows, and where none does,
    what the layer gives; of the layer whose output the model returns, what the loss makes of it.
    ``print(plasticity)`` says which it is, once the model was called.

    Args:
        model: whose layers learn. It must be called as a whole, on one device, not under autocast.
        rule: the expression.
        layers: names of layers, as in ``model.named_modules()``; None for all linear and
            convolutional ones.
        settings: by rule, as in a spec: theta, layers and parameters.
        transforms: names of transforms of the summed update.
        rules: rule classes that are not installed, to be used by name.
        transform_classes: transform classes likewise.
        plugins: files with unpackaged plugins.
        loss: name of the loss, which decides what post of the output is.
        reduction: whether the loss is the mean over samples, as PyTorch's are, or their sum.
        post: activation functions by layer, where they are not to be looked for, as behind
            ``torch.compile``.
        seed: of feedback, states and noise that are drawn.

    Attributes:
        layers: those that learn, in the order of the model.
        others: names of the parameters that are left alone.

    Raises:
        PlasticError: the rule is none, needs what a module cannot give, or no layer can be taken.
    """

    def __init__(
        self,
        model: nn.Module,
        rule: str,
        *,
        layers: Sequence[str] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        transforms: Sequence[str] = (),
        rules: Sequence[type[Rule]] = (),
        transform_classes: Sequence[type[Transform]] = (),
        plugins: Sequence[str] = (),
        loss: str = "cross-entropy",
        reduction: Literal["mean", "sum"] = "mean",
        post: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        seed: int = 0,
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise PlasticError(f"reduction = {reduction!r}: expected 'mean' or 'sum'")
        catalogue = Catalogue(tuple(plugins), rules=rules, transforms=transform_classes)
        self.layers = _taken(model, layers)
        taken = {id(parameter) for layer in self.layers for parameter in layer.parameters}
        self.others = [name for name, one in model.named_parameters() if id(one) not in taken]
        self._mean = reduction == "mean"
        self._loss: Loss = catalogue.class_of("loss", loss)()
        self._given = _posts(post or {}, self.layers)
        self._rules = ModuleRules(rule, settings or {}, transforms, catalogue)
        self._place = {id(layer): p for p, layer in enumerate(self.layers)}
        circuit = module_circuit(self.layers, self._loss)
        hooks = self._rules.hooks(circuit, self.layers[0].module.weight.dtype)
        self._parameters = _parameters(self.layers, circuit.biased, hooks, circuit, seed)
        add_thetas(self._parameters, hooks, self._rules.thetas)
        like = self._parameters.weights[0]
        self._thetas = {
            name: torch.full((1, 1, 1), theta, dtype=like.dtype, device=like.device)
            for name, theta in self._rules.thetas.items()
        }
        self._addresses = self._addresses_now()
        self._anchor = torch.zeros((), device=like.device, requires_grad=True)
        self._nodes: dict[Any, PlasticLayer] = {}
        self._events: dict[int, list[Signals]] = {}
        self._known = False
        self._bind(hooks, circuit)
        for layer in self.layers:
            for parameter in layer.parameters:
                parameter.requires_grad_(False)
        self._handles = [
            layer.module.register_forward_hook(self._hook_of(layer), with_kwargs=True)
            for layer in self.layers
        ]
        self._handles += [
            model.register_forward_pre_hook(_uncompiled(self._begin)),
            model.register_forward_hook(_uncompiled(self._look)),
        ]

    def step(self, loss: Tensor | None = None) -> None:
        """Carry the error back, and let every layer learn from it.

        Args:
            loss: of the model's last outputs; None where ``loss.backward()`` was called, or where
                no rule reads an error.

        Raises:
            PlasticError: the model was not called before, or was moved since.
        """
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        if not self._events:
            raise PlasticError(
                "nothing to learn from: call the model, then step(loss), or loss.backward() and "
                "step()"
            )
        if self._addresses != self._addresses_now():
            raise PlasticError(
                "the weights lie elsewhere than when this Plasticity was made; move the model to "
                "its device and precision first"
            )
        with torch.no_grad():
            for p in sorted(self._events):
                self._learn(p, _joined(self._events[p][::-1]))
        count_updates(self._parameters.state)
        self._events = {}

    def remove(self) -> None:
        """Let go of the model: its parameters need gradients again, and nothing is hooked."""
        for handle in self._handles:
            handle.remove()
        for layer in self.layers:
            for parameter in layer.parameters:
                parameter.requires_grad_(True)

    def state_dict(self) -> dict[str, Tensor]:
        """Return feedback and states; the weights are the model's own."""
        return {name: value.clone() for name, value in self._own().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state_dict` returned.

        Raises:
            PlasticError: it is of other rules or layers.
        """
        own = self._own()
        shapes = ({name: one.shape for name, one in of.items()} for of in (own, state))
        if len({str(sorted(one.items())) for one in shapes}) > 1:
            raise PlasticError(
                f"this state has {listing(state)}, and these rules have {listing(own)}, or they "
                "have other shapes; load it with the same rules, layers and model"
            )
        for name, value in own.items():
            value.copy_(state[name])

    def __repr__(self) -> str:
        """Say which layers learn by what, what post is, and what is left alone."""
        lines = [f"Plasticity({self._rules.text!r})"]
        for layer in self.layers:
            n_post, n_pre = layer.weight.shape[1:]
            known = "known once the model was called" if layer.post is None else layer.post[0]
            lines.append(f"  {layer.name}: {n_post} x {n_pre}, post: {known}")
        if self.others:
            lines.append(f"  left alone: {', '.join(self.others)}")
        return "\n".join(lines)

    def _own(self) -> dict[str, Tensor]:
        named = self._parameters.named()
        return {
            name: value
            for name, value in named.items()
            if not name.startswith(("weight.", "bias.", "state.theta."))
        }

    def _addresses_now(self) -> list[int]:
        return [one.data_ptr() for layer in self.layers for one in layer.parameters]

    def _bind(self, hooks: Hooks, circuit: Circuit) -> None:
        """Take up hooks of a circuit whose places and output are known."""
        self._hooks, self._circuit = hooks, circuit
        parameters, like = self._parameters, self._parameters.weights[0]
        states = parameters.state
        self._own_tensors = Own(
            circuit,
            states.__getitem__,
            lambda key, shape: standard_normal(states[NOISE], key, shape, like.dtype),
        )
        every = range(len(parameters.weights))
        masks = masks_of(circuit, hooks.feedback, like.device)
        self._learning = [
            MatrixLearning(p, hooks, self._thetas, parameters, masks, True) for p in every
        ]
        self._reads = [
            frozenset[str]().union(*(rule.reads for rule in hooks.local if p in rule.layers))
            for p in every
        ]
        self._propagate = None
        self._plainly = _is_plain(hooks)
        if hooks.propagate is not None:
            self._propagate = [
                hooks.propagate_of(circuit.sends[p][0], self._own_tensors)
                for p in range(len(self.layers))
            ]

    def _hook_of(self, layer: PlasticLayer) -> Callable[..., Tensor | None]:
        def called(module: nn.Module, args: Any, kwargs: Any, z: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            x = args[0] if args else kwargs["input"]
            if torch.is_autocast_enabled(x.device.type):
                raise PlasticError(
                    "Plasticity is not for autocast, under which a layer's output has another "
                    "precision than its weights; switch it off"
                )
            if (places := layer.places_of(z)) != layer.places:
                layer.places, self._known = places, False
            call = _Call(layer, x.detach(), z.detach())
            out: Tensor = _Sent.apply(x, self._anchor, self, call)  # type: ignore[no-untyped-call]
            self._nodes[out.grad_fn] = layer
            if self._propagate is None:
                self._take(call, None)
            return out

        return _uncompiled(called)

    def _begin(self, model: nn.Module, args: Any) -> None:
        self._nodes.clear()
        if self._propagate is None:
            self._events = {}

    def _look(self, model: nn.Module, args: Any, outputs: Any) -> None:
        """Find out what follows each layer, and which is the output."""
        if not self._nodes or self._known:
            self._nodes.clear()
            return
        returned = [one for one in tree_leaves(outputs) if isinstance(one, Tensor)]
        found = followings(returned, self._nodes)
        for layer in self._nodes.values():
            if layer.name in self._given:
                layer.post = self._given[layer.name]
                layer.is_output = layer in found and found[layer].returned
                continue
            following = found.get(layer)
            if following is None or (following.post is None and not following.returned):
                if following is not None and following.hidden:
                    raise PlasticError(
                        f"what follows {layer.name} is compiled, so that its activation function "
                        f"cannot be seen; write post={{'{layer.name}': torch.relu}}, or whichever "
                        "it is"
                    )
                layer.post = ("what the layer gives, for no activation function follows it", _same)
            elif following.returned:
                layer.is_output = True
                layer.post = (f"what {self._loss.spec.name} makes of it", self._loss.output)
            else:
                layer.post = following.post
        self._nodes.clear()
        circuit = module_circuit(self.layers, self._loss)
        self._bind(self._rules.hooks(circuit, self._parameters.weights[0].dtype), circuit)
        self._known = True

    def came_back(self, call: _Call, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Take an error up; return what goes on to the layers below, where anybody wants it."""
        layer, p = call.layer, self._place[id(call.layer)]
        if self._propagate is None:
            return None
        samples = layer.samples(call.x) if self._mean else 1
        error = layer.by_event(gradient)
        s = self._take(call, error if samples == 1 else error * samples)
        if not wanted:
            return None
        if self._plainly:
            return layer.back(gradient, call.x)
        self._complete(s, p, self._hooks.propagate_reads)
        through = self._propagate[p](s)
        return layer.to_input(through if samples == 1 else through / samples, call.x)

    def _take(self, call: _Call, error: Tensor | None) -> Signals:
        """Return the signals of one call, and keep them for the next step."""
        layer, p = call.layer, self._place[id(call.layer)]
        s = self._blank(p, layer.samples(call.x))
        s.pre = s.source = layer.pre_of(call.x, call.z)
        s.z = layer.by_event(call.z)
        if error is not None:
            s.error = error
        self._events.setdefault(p, []).append(s)
        return s

    def _blank(self, p: int, batch: int) -> Signals:
        weight = self._parameters.weights[p]
        feedback = self._parameters.feedback[p] if self._parameters.feedback else None
        s = Signals(self._circuit.sites[p], _Products(weight, feedback))
        s.batch, s.weight = batch, weight
        if feedback is not None:
            s.feedback = feedback
        return s

    def _complete(self, s: Signals, p: int, names: frozenset[str]) -> None:
        """Compute the signals of `names` that are not there yet."""
        layer = self.layers[p]
        if not hasattr(s, "post"):
            if layer.post is None:
                raise PlasticError(
                    f"{layer.name} was called without its model, so that it is not known what "
                    "follows it; call the model that Plasticity was given"
                )
            s.post = layer.post[1](s.z)
            if "z" in names and layer.module.bias is not None:
                s.z = s.z - layer.module.bias.detach()
        for name in _SENT_BACK.keys() & names:
            if not hasattr(s, name):
                matrix, of = _SENT_BACK[name]
                v = getattr(s, of)
                if matrix == "feedback":
                    setattr(s, name, s.products.feed_back(v))
                elif v.shape[1] > v.shape[2]:  # more events than units
                    size = (1, v.shape[1], s.weight.shape[2])
                    setattr(s, name, LazyEvents([(1.0, through(v, s.weight))], size, v))
                else:
                    setattr(s, name, s.products.back(v))

    def _learn(self, p: int, s: Signals) -> None:
        """Change the matrices of a layer, and its bias."""
        self._complete(s, p, self._reads[p])
        self._learning[p].update(self._own_tensors, s)
        if p + 1 in self._circuit.biased:
            bias = len(self.layers) + self._circuit.biased.index(p + 1)
            of_bias = self._blank(bias, s.batch)
            of_bias.pre = of_bias.source = s.z.new_ones(1, s.pre.shape[1], 1)
            for name in ("post", "z", "error"):
                if hasattr(s, name):
                    setattr(of_bias, name, getattr(s, name))
            self._complete(of_bias, p, self._reads[bias])
            self._learning[bias].update(self._own_tensors, of_bias)


class _Products(NamedTuple):
    """See `plastic_core.api.signals.Products`."""

    weight: Tensor
    feedback: Tensor | None

    def forward(self, v: Tensor) -> Tensor:
        return v @ self.weight.mT

    def back(self, v: Tensor) -> Tensor:
        return v @ self.weight

    def feed_back(self, v: Tensor) -> Tensor:
        assert self.feedback is not None, "a rule was tried without it"
        return v @ self.feedback.mT


def _is_plain(hooks: Hooks) -> bool:
    """Return whether the error goes back through W' alone, as PyTorch's own does."""
    if hooks.propagate is None or hooks.propagate_reads != {"weight_error"}:
        return False
    asked = Signals(SOMEWHERE, _Products(torch.empty(0), None))
    asked.weight_error = torch.zeros(1, 1, 1)
    return hooks.propagate(asked) is asked.weight_error


class _Call(NamedTuple):
    """A call of a layer: with what, and what came of it."""

    layer: PlasticLayer
    x: Tensor
    z: Tensor


class _Sent(torch.autograd.Function):
    """What a layer gives; its error comes back through the rule, and not through the layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, plasticity: Plasticity, call: _Call) -> Tensor:
        """Return z; a copy, for what follows may write over it."""
        ctx.plasticity, ctx.call = plasticity, call
        return call.z.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        """Return the error of what the layer was called with."""
        through = ctx.plasticity.came_back(ctx.call, gradient, ctx.needs_input_grad[0])
        return through, None, None, None


def _uncompiled(hook: Hook) -> Hook:
    """Return a hook that torch.compile leaves as it is, and compiles what lies between."""
    kept: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return kept


def _same(z: Tensor) -> Tensor:
    return z


def _joined(calls: list[Signals]) -> Signals:
    """Return the signals of several calls, one after the other."""
    first = calls[0]
    if len(calls) > 1:
        for name, signal in SIGNALS.items():
            if signal.over in ("pre", "post") and hasattr(first, name):
                setattr(first, name, torch.cat([getattr(one, name) for one in calls], 1))
    return first


def _taken(model: nn.Module, names: Sequence[str] | None) -> list[PlasticLayer]:
    """Return the layers that are asked for, or all that can be taken."""
    modules = dict(model.named_modules())
    called = {name: name or type(model).__name__ for name in modules}
    possible = {called[name]: one for name, one in modules.items() if not PlasticLayer.fault(one)}
    for name in names or ():
        if name not in {*called.values()}:
            raise PlasticError(
                f"layers: the model has no module '{name}'{did_you_mean(name, possible)}\n"
                f"  there are {listing(possible)}"
            )
        module = next(one for own, one in modules.items() if called[own] == name)
        if fault := PlasticLayer.fault(module):
            raise PlasticError(f"layers: '{name}' cannot be taken: {fault}")
    chosen = possible if names is None else {n: m for n, m in possible.items() if n in names}
    if not chosen:
        raise PlasticError(
            "the model has no linear or convolutional layer that could be taken; Plasticity takes "
            "nn.Linear, nn.Conv1d and nn.Conv2d, without groups and with a padding of zeros"
        )
    kinds = {(one.weight.dtype, one.weight.device) for one in chosen.values()}
    if len(kinds) > 1:
        raise PlasticError(f"the layers are of several kinds, {listing(map(str, kinds))}; take one")
    return [PlasticLayer(name, module) for name, module in chosen.items()]


def _posts(
    given: Mapping[str, Callable[[Tensor], Tensor]], layers: Sequence[PlasticLayer]
) -> dict[str, tuple[str, Callable[[Tensor], Tensor]]]:
    """Return the activation functions that are given, with what they are called."""
    names = [layer.name for layer in layers]
    for name, function in given.items():
        if name not in names:
            raise PlasticError(
                f"post: no layer '{name}' learns{did_you_mean(name, names)}; there are "
                f"{listing(names)}"
            )
        if not callable(function):
            raise PlasticError(f"post of '{name}' = {function!r}: expected a function of z")
    return {name: (getattr(one, "__name__", repr(one)), one) for name, one in given.items()}


def _parameters(
    layers: Sequence[PlasticLayer],
    biased: tuple[int, ...],
    hooks: Hooks,
    circuit: Circuit,
    seed: int,
) -> Parameters:
    """Return views of the model's weights, and feedback and states beside them."""
    weights = [layer.weight for layer in layers]
    weights += [one for layer in layers if (one := layer.bias) is not None]
    drawn = initial_feedback(circuit, hooks.feedback, seed) if hooks.feedback else []
    feedback = [one[None].to(weights[0].device, weights[0].dtype) for one in drawn]
    made = Parameters(weights, feedback, {}, biased, (seed,), circuit.first_into)
    add_states(made, hooks)
    return made
