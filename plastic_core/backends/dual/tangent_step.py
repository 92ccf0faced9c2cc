r"""Networks that learn, and the derivatives of all that they are with respect to the thetas.

Beside every matrix W its tangents :math:`\dot W_p = \partial W / \partial \theta_p` are carried
from step to step. They are exact, and need memory that does not grow with the number of steps.

    z = W y                     dz_p = dW_p y + W dy_p
    W += theta_r a b'           dW_p += theta_r (da_p b' + a db_p') + [r = p] a b'

Products with matrices and the activation function are differentiated here, everything else by dual
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.maps import Activate, Guarded, Map
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.dual.dual import Dual, call, value_and_tangent
from plastic_core.backends.dual.tangent_sum import TangentSum
from plastic_core.backends.step.description import Description
from plastic_core.backends.step.functional import FunctionalPass, signals_of_passes
from plastic_core.backends.step.learning import transformed, updates_of
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own, theta_key
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NoiseOfUpdate, count_updates
from plastic_core.networks.parameters import Parameters, add_thetas


class TangentStep:
    """The step with tangents carried along.

    R counts the replicas, P the thetas. Signals are dual numbers: values ``[R, K, n]`` and
    tangents ``[P, R, K, n]``.

    Args:
        network: the network.
        hooks: the resolved hooks.
        thetas: by rule, ``[R]``; P of them.
        parameters: of R replicas, changed in place.

    Attributes:
        tangents: of each of `parameters.named()`, ``[R, P, ...]``; 0 at the start.
    """

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        thetas: Mapping[str, Tensor],
        parameters: Parameters,
    ) -> None:
        self._hooks, self._circuit = hooks, circuit_of(network)
        self._thetas = {name: theta.view(-1, 1, 1) for name, theta in thetas.items()}
        self._direction = {name: p for p, name in enumerate(thetas)}
        add_thetas(parameters, hooks, thetas)
        self._values, self._states = parameters.named(), parameters.state
        self.tangents = {
            name: value.new_zeros(len(value), len(thetas), *value.shape[1:])
            for name, value in self._values.items()
            if value.is_floating_point()
        }
        for name, p in self._direction.items():
            owner, dot, own = name.partition(".")
            if dot and f"state.{theta_key(owner, own)}" in self.tangents:
                self.tangents[f"state.{theta_key(owner, own)}"][:, p] = 1
        self._name_of = parameters.name_of
        self._masks = masks_of(self._circuit, hooks.feedback)
        products = _DualProducts(parameters, self.tangents, len(thetas))
        self._noise = NoiseOfUpdate(parameters.state, parameters.weights[0].dtype)
        self._own = Own(self._circuit, self._state, self._noise.of)
        self._products = products
        self._passes = [Description(self._circuit, hooks, index) for index in range(hooks.passes)]

    def step(self, x: Tensor, target: Tensor) -> Tensor:
        """Learn from one mini-batch in each replica; return the outputs before the update.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        self._noise.forget()
        output, signals = signals_of_passes(self._passes, self._products, self._own, x, target)
        changes = [self._learn(p, s) for p, s in enumerate(signals)]
        for sums, states in changes:
            for total in sums:
                total.apply()
            for name, (value, tangent) in states.items():
                self._values[name].copy_(value)
                self.tangents[name].copy_(tangent.transpose(0, 1))
        count_updates(self._states)
        outputs: Tensor = output.value
        return outputs

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs, ``[R, K, n_L]``, and their tangents, ``[P, R, K, n_L]``.

        Args:
            x: ``[R, K, n_0]``.
        """
        return self.activities(x)[-1]

    def activities(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return y_1 .. y_L, ``[R, K, n]``, each with its tangents, ``[P, R, K, n]``.

        Args:
            x: ``[R, K, n_0]``.
        """
        one = FunctionalPass(self._passes[0], self._products, self._own)
        if self._hooks.settle is not None:
            found = one.settled(x)[1:]
        else:
            nodes, _ = one.forward(x, learning=False)
            found = [nodes[population] for population in self._circuit.populations[1:]]
        return [value_and_tangent(y, len(self._thetas)) for y in found]

    def _learn(self, p: int, s: Any) -> tuple[list[TangentSum], dict[str, tuple[Tensor, Tensor]]]:
        """Return what is added to the matrices and to their tangents, and the new states."""
        sums: dict[str, TangentSum] = {}
        new_states: dict[str, Any] = {}
        for rule, updates, new in updates_of(self._hooks, p, s, self._own):
            new_states |= new
            theta, direction = self._thetas[rule.theta], self._direction[rule.theta]
            for matrix, update in updates.items():
                name = self._name_of("weight" if matrix == "forward" else "feedback", p)
                if name not in sums:
                    mask = self._masks[matrix][p]
                    sums[name] = TangentSum(self._values[name], self.tangents[name], mask)
                sums[name].collect(update, theta, direction, s.batch)
        if self._hooks.transforms:
            for name, total in sums.items():
                matrix = "feedback" if name.startswith("feedback") else "forward"
                weight = self._dual(name)
                increment, new = transformed(
                    self._hooks, p, matrix, total.increment(), weight, self._state
                )
                total.replace(*value_and_tangent(increment, len(self._thetas)))
                new_states |= new
        return list(sums.values()), {
            f"state.{key}": value_and_tangent(value, len(self._thetas))
            for key, value in new_states.items()
        }

    def _state(self, key: str) -> Dual:
        # a copy, because what a rule returns may be a view of what is about to change
        dual = self._dual(f"state.{key}")
        return Dual(dual.value.clone(), dual.tangent.clone())

    def _dual(self, name: str) -> Dual:
        return Dual(self._values[name], self.tangents[name].transpose(0, 1))


class _DualProducts:
    """See `plastic_core.backends.step.functional.Arithmetic`."""

    def __init__(self, parameters: Parameters, tangents: Mapping[str, Tensor], count: int) -> None:
        self._name_of, self._values = parameters.name_of, parameters.named()
        self._tangents, self._count = tangents, count

    def matrix(self, kind: Literal["weight", "feedback"], projection: int) -> Dual:
        name = self._name_of(kind, projection)
        return Dual(self._values[name], self._tangents[name].transpose(0, 1))

    def send(self, projection: int, pre: Any) -> Dual:
        return self._product(pre, self._name_of("weight", projection), transposed=True)

    def send_back(self, projection: int, posts: Mapping[str, Any]) -> dict[str, Dual]:
        both = [value_and_tangent(post, self._count) for post in posts.values()]
        left = Dual(*(torch.cat(tensors, -2) for tensors in zip(*both, strict=True)))
        back = self._product(left, self._name_of("weight", projection), transposed=False)
        chunks = (t.chunk(len(posts), -2) for t in (back.value, back.tangent))
        return {
            name: Dual(value, tangent) for name, value, tangent in zip(posts, *chunks, strict=True)
        }

    def feed_back(self, projection: int, error: Any) -> Dual:
        return self._product(error, self._name_of("feedback", projection), transposed=True)

    def apply(self, function: Map, inputs: Sequence[Any]) -> tuple[Any, Any]:
        if isinstance(function, Activate) and isinstance(z := inputs[0], Dual):
            activation = function.activation
            y = activation.apply(z.value)
            dual = Dual(y, z.tangent * activation.slope(z.value, y))
            return dual, (z, dual)
        if isinstance(function, Guarded):
            # as a whole, for a stranger's map may do anything
            return call(lambda *x: function.forward(*x)[0], *inputs), inputs
        if function.linear:
            values, changes = zip(
                *(value_and_tangent(one, self._count) for one in inputs), strict=True
            )
            value, kept = function.forward(*values)
            flat = [change.flatten(0, 1) for change in changes]
            change = function.along(flat, kept)
            return Dual(value, change.view(self._count, *value.shape)), kept
        return function.forward(*inputs)

    def apply_back(self, function: Map, error: Any, kept: Any) -> Sequence[Any]:
        if function.linear and isinstance(error, Dual):
            values = function.backward(error.value, kept)
            changes = function.backward(error.tangent.flatten(0, 1), kept)
            return [
                Dual(value, change.view(self._count, *value.shape))
                for value, change in zip(values, changes, strict=True)
            ]
        if not isinstance(function, Guarded):
            return function.backward(error, kept)

        def back(place: int) -> Callable[..., Any]:
            return lambda e, *x: function.backward(e, function.forward(*x)[1])[place]

        return [call(back(place), error, *kept) for place in range(len(kept))]

    def stored(self, error: Any) -> Any:
        return error

    def _product(self, rows: Any, matrix: str, transposed: bool) -> Dual:
        """Return rows times a matrix, or its transpose, differentiated.

        Values and tangents of the rows go through the matrix in one product, the values through
        its tangents in another.
        """
        weight, tangent = self._values[matrix], self._tangents[matrix]
        value = rows.value if isinstance(rows, Dual) else rows
        replicas, events, count = len(weight), value.shape[1], self._count
        side = weight.mT if transposed else weight
        if transposed:
            sides = tangent.view(replicas, -1, tangent.shape[3]).mT
            through = torch.bmm(value, sides).view(replicas, events, count, -1)
            change = through.permute(2, 0, 1, 3)
        else:
            repeated = value.unsqueeze(1).expand(-1, count, -1, -1).reshape(-1, *value.shape[1:])
            through = torch.bmm(repeated, tangent.flatten(0, 1))
            change = through.view(replicas, count, events, -1).transpose(0, 1)
        if not isinstance(rows, Dual):
            return Dual(torch.bmm(value, side), change)
        together = torch.cat((value.unsqueeze(1), rows.tangent.transpose(0, 1)), 1)
        both = torch.bmm(together.flatten(1, 2), side).view(replicas, 1 + count, events, -1)
        return Dual(both[:, 0], change + both[:, 1:].transpose(0, 1))
