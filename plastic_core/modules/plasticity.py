"""Rules that change the weights of a user's own PyTorch model, in a loop of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from plastic_core.api.loss import Loss
from plastic_core.api.plugin import Rule, Transform
from plastic_core.base.errors import PlasticError, listing
from plastic_core.modules.following import find_posts, followings
from plastic_core.modules.layer_call import LayerCall, Sent
from plastic_core.modules.module_learning import ModuleLearning
from plastic_core.modules.module_rules import ModuleRules
from plastic_core.modules.plastic_layer import PlasticLayer
from plastic_core.modules.taken_layers import TAKEN, given_posts, taken_layers
from plastic_core.plugins.catalogue import Catalogue

_MOVED: Final = (
    "the weights lie elsewhere than when this Plasticity was made; move the model to its device "
    "and precision first"
)

# In a state_dict, before the name of a theta.
_THETA: Final = "theta."

# PyTorch's own has no types.
_sent: Final[Callable[..., Tensor]] = Sent.apply

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
        if not isinstance(model, nn.Module):
            raise PlasticError(f"model is a {type(model).__name__}; expected the nn.Module itself")
        if not isinstance(loss, str):
            raise PlasticError(
                f"loss is a {type(loss).__name__}; expected the name of one, such as "
                "'cross-entropy' or 'squared-error', which says what post of the output is"
            )
        for name, names in (("layers", layers), ("transforms", transforms)):
            if isinstance(names, str):
                raise PlasticError(f"{name} = {names!r}: expected a list of names: [{names!r}]")
        catalogue = Catalogue(tuple(plugins), rules=rules, transforms=transform_classes)
        self.layers = taken_layers(model, layers)
        taken = {id(parameter) for layer in self.layers for parameter in layer.parameters}
        self.others = [name for name, one in model.named_parameters() if id(one) not in taken]
        self._model = model
        self._loss: Loss = catalogue.class_of("loss", loss)()
        self._given = given_posts(post or {}, self.layers)
        self._rules = ModuleRules(rule, settings or {}, transforms, catalogue)
        self._learning = ModuleLearning(
            self.layers, self._rules, self._loss, reduction == "mean", seed
        )
        self._anchor = torch.zeros((), device=self.layers[0].weight.device, requires_grad=True)
        self._nodes: dict[Any, PlasticLayer] = {}
        self._known = False
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
            try:
                torch.autograd.backward(loss)
            except BaseException as error:
                self.forget()
                if "second time" not in str(error):
                    raise
                raise PlasticError(
                    "loss: its backward pass was taken already; write step() without it"
                ) from None
        self._learning.step()

    def set_thetas(self, **thetas: float) -> None:
        """Set thetas for the steps that follow, as a schedule of learning rates does.

        >>> plasticity.set_thetas(bp=0.001)  # doctest: +SKIP

        Args:
            thetas: by name, as `thetas` has them; ``**{"abcd.a": 0.1}`` where it has a dot.

        Raises:
            PlasticError: there is none of this name, or it is no finite number.
        """
        for name, theta in thetas.items():
            self._learning.set_theta(name, theta)

    def forget(self) -> None:
        """Learn nothing from what came back so far, such as after ``torch.autograd.grad``."""
        self._learning.forget()

    @property
    def thetas(self) -> dict[str, float]:
        """By name; `set_thetas` changes them."""
        return dict(self._learning.thetas)

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
        """Return feedback, states and thetas; the weights are the model's own."""
        kept = {name: value.clone() for name, value in self._learning.kept.items()}
        thetas = {name: torch.tensor(one, dtype=torch.float64) for name, one in self.thetas.items()}
        return kept | {f"{_THETA}{name}": theta for name, theta in thetas.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state_dict` returned.

        Raises:
            PlasticError: it is of other rules or layers.
        """
        own = self.state_dict()
        shapes = ({name: one.shape for name, one in of.items()} for of in (own, state))
        if len({str(sorted(one.items())) for one in shapes}) > 1:
            raise PlasticError(
                f"this state has {listing(state)}, and these rules have {listing(own)}, or they "
                "have other shapes; load it with the same rules, layers and model"
            )
        for name, value in self._learning.kept.items():
            value.copy_(state[name])
        for name in self.thetas:
            self._learning.set_theta(name, state[f"{_THETA}{name}"].item())

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be pickled or copied, which would part it from its model.

        Raises:
            PlasticError: always.
        """
        raise PlasticError(
            "Plasticity is tied to its model, and cannot be copied or pickled; make a new one for "
            "a copy of the model, and keep state_dict() of both"
        )

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

    def _hook_of(self, layer: PlasticLayer) -> Callable[..., Tensor | None]:
        def called(module: nn.Module, args: Any, kwargs: Any, z: Tensor) -> Tensor | None:
            # a copy of the model has copies of the hooks, and learns nothing here
            if not torch.is_grad_enabled() or module is not layer.module:
                return None
            if layer.moved:
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
            out = _sent(x, self._anchor, self._learning.came_back, call)
            self._nodes[out.grad_fn] = layer
            # a checkpoint calls it again in its backward pass
            if not self._learning.of_errors and torch._C._current_graph_task_id() == -1:
                self._learning.take(call)
            return out

        return _uncompiled(called)

    def _begin(self, model: nn.Module, args: Any) -> None:
        if model is not self._model:
            return
        self._nodes.clear()
        if not self._learning.of_errors:
            self._learning.forget()

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
        self._learning.look_again()
        self._known = True


def _uncompiled(hook: Hook) -> Hook:
    """Return a hook that torch.compile leaves as it is, and compiles what lies between."""
    kept: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return kept
