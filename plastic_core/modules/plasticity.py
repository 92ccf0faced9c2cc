"""Rules that change the weights of a user's own PyTorch model, in a loop of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final, Literal, TypeVar

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
from plastic_core.modules.following import find_posts, followings
from plastic_core.modules.layer_call import LayerCall, LayerProducts, Sent, is_plain, joined
from plastic_core.modules.lazy_events import LazyEvents, through
from plastic_core.modules.module_circuit import module_circuit, module_parameters
from plastic_core.modules.module_rules import ModuleRules
from plastic_core.modules.plastic_layer import PlasticLayer
from plastic_core.modules.taken_layers import TAKEN, given_posts, taken_layers
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, count_updates, standard_normal
from plastic_core.networks.parameters import add_thetas
from plastic_core.plugins.catalogue import Catalogue

_SENT_BACK: Final = {name: one.product for name, one in SIGNALS.items() if one.product}
_MOVED: Final = (
    "the weights lie elsewhere than when this Plasticity was made; move the model to its device "
    "and precision first"
)

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
    It is printed once the model was called.

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
        thetas: by name; `set_thetas` changes them.

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
        self.layers = taken_layers(model, layers)
        taken = {id(parameter) for layer in self.layers for parameter in layer.parameters}
        self.others = [name for name, one in model.named_parameters() if id(one) not in taken]
        self._model, self._mean = model, reduction == "mean"
        self._loss: Loss = catalogue.class_of("loss", loss)()
        self._given = given_posts(post or {}, self.layers)
        self._rules = ModuleRules(rule, settings or {}, transforms, catalogue)
        self._place = {id(layer): p for p, layer in enumerate(self.layers)}
        circuit = module_circuit(self.layers, self._loss)
        hooks = self._rules.hooks(circuit, self.layers[0].module.weight.dtype)
        self._parameters = module_parameters(self.layers, circuit.biased, hooks, circuit, seed)
        self.thetas = dict(self._rules.thetas)
        add_thetas(self._parameters, hooks, self.thetas)
        like = self._parameters.weights[0]
        self._columns = {name: like.new_full((1, 1, 1), one) for name, one in self.thetas.items()}
        self._anchor = torch.zeros((), device=like.device, requires_grad=True)
        self._nodes: dict[Any, PlasticLayer] = {}
        self._events: dict[int, list[Signals]] = {}
        self._known = False
        self._bind(hooks, circuit)
        for layer in self.layers:
            TAKEN.add(layer.module)
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
        with torch.no_grad():
            for p in sorted(self._events):
                self._learn(p, joined(self._events[p][::-1]))
        count_updates(self._parameters.state)
        self._events = {}

    def set_thetas(self, **thetas: float) -> None:
        """Set thetas for the steps that follow, as a schedule of learning rates does.

        >>> plasticity.set_thetas(bp=0.001)  # doctest: +SKIP

        Args:
            thetas: by name, as `thetas` has them; ``**{"abcd.a": 0.1}`` where it has a dot.

        Raises:
            PlasticError: there is none of this name, or it is no finite number.
        """
        for name, theta in thetas.items():
            if name not in self.thetas:
                raise PlasticError(
                    f"there is no theta '{name}'{did_you_mean(name, self.thetas)}; there are "
                    f"{listing(self.thetas)}"
                )
            if not isinstance(theta, int | float) or not math.isfinite(theta):
                raise PlasticError(f"theta of '{name}' = {theta!r}: expected a finite number")
            self.thetas[name] = float(theta)
            self._columns[name].fill_(theta)
        add_thetas(self._parameters, self._hooks, self.thetas)

    def forget(self) -> None:
        """Learn nothing from what came back so far, such as after ``torch.autograd.grad``."""
        self._events = {}

    def remove(self) -> None:
        """Let go of the model: its parameters need gradients again, and nothing is hooked."""
        self.forget()
        for handle in self._handles:
            handle.remove()
        for layer in self.layers:
            TAKEN.discard(layer.module)
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
        shown = ", ".join(f"{name} {theta:g}" for name, theta in self.thetas.items())
        lines = [f"Plasticity({self._rules.text!r}): theta {shown}"]
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
            MatrixLearning(p, hooks, self._columns, parameters, masks, self.thetas) for p in every
        ]
        self._reads = [
            frozenset[str]().union(*(rule.reads for rule in hooks.local if p in rule.layers))
            for p in every
        ]
        self._propagate = None
        self._plainly = is_plain(hooks)
        if hooks.propagate is not None:
            self._propagate = [
                hooks.propagate_of(circuit.sends[p][0], self._own_tensors)
                for p in range(len(self.layers))
            ]

    def _hook_of(self, layer: PlasticLayer) -> Callable[..., Tensor | None]:
        def called(module: nn.Module, args: Any, kwargs: Any, z: Tensor) -> Tensor | None:
            # a copy of the model has copies of the hooks, and learns nothing here
            if not torch.is_grad_enabled() or module is not layer.module:
                return None
            if layer.module.weight.data_ptr() != layer.address:
                raise PlasticError(_MOVED)
            x = args[0] if args else kwargs["input"]
            if not z.numel():
                return None
            if layer.post is None:
                self._known = False
            if torch.is_autocast_enabled(x.device.type):
                raise PlasticError(
                    "Plasticity is not for autocast, under which a layer's output has another "
                    "precision than its weights; switch it off"
                )
            if (places := layer.places_of(z)) != layer.places:
                layer.places, self._known = places, False
            call = LayerCall(layer, x.detach(), z.detach(), x._version)
            out: Tensor = Sent.apply(x, self._anchor, self._came_back, call)  # type: ignore[no-untyped-call]
            self._nodes[out.grad_fn] = layer
            if self._propagate is None:
                self._take(call, None)
            return out

        return _uncompiled(called)

    def _begin(self, model: nn.Module, args: Any) -> None:
        if model is not self._model:
            return
        self._nodes.clear()
        if self._propagate is None:
            self._events = {}

    def _look(self, model: nn.Module, args: Any, outputs: Any) -> None:
        """Find out what follows each layer, and which is the output."""
        if model is not self._model or not self._nodes or self._known:
            self._nodes.clear()
            return
        leaves = tree_leaves(outputs)
        leaves += [value for one in leaves if is_dataclass(one) for value in vars(one).values()]
        returned = [one for one in leaves if isinstance(one, Tensor)]
        found = followings(returned, self._nodes)
        find_posts(self._nodes.values(), found, self._given, self._loss)
        self._nodes.clear()
        circuit = module_circuit(self.layers, self._loss)
        self._bind(self._rules.hooks(circuit, self._parameters.weights[0].dtype), circuit)
        self._known = True

    def _came_back(self, call: LayerCall, gradient: Tensor, wanted: bool) -> Tensor | None:
        """Take an error up; return what goes on to the layers below, where anybody wants it."""
        layer, p = call.layer, self._place[id(call.layer)]
        if self._propagate is None:
            return None
        if call.x._version != call.version:
            raise PlasticError(
                f"what {layer.name} was called with was changed in place since, and is needed to "
                "learn from; write a new tensor in its place"
            )
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

    def _take(self, call: LayerCall, error: Tensor | None) -> Signals:
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
        s = Signals(self._circuit.sites[p], LayerProducts(weight, feedback))
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


def _uncompiled(hook: Hook) -> Hook:
    """Return a hook that torch.compile leaves as it is, and compiles what lies between."""
    kept: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return kept
