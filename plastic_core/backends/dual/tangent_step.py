r"""Networks that learn, and the derivatives of all that they are with respect to the thetas.

Beside every matrix W its tangents :math:`\dot W_p = \partial W / \partial \theta_p` are carried
from step to step. They are exact, and need memory that does not grow with the number of steps.

    z = W y                     dz_p = dW_p y + W dy_p
    W += theta_r a b'           dW_p += theta_r (da_p b' + a db_p') + [r = p] a b'

Products with matrices and the activation function are differentiated here, the rules' own
functions by dual numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.signals import Signals
from plastic_core.api.update import Decay, Dense, Outer, Part, as_update
from plastic_core.backends.dual.dual import Dual, value_and_tangent
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.feedforward import plan_needs
from plastic_core.networks.losses import loss_of
from plastic_core.networks.parameters import Parameters, state_key, state_view


class TangentStep:
    """The engine's step for feed-forward networks, tangents carried along.

    R counts the replicas, P the thetas. Signals are dual numbers: values ``[R, K, n]`` and
    tangents ``[P, R, K, n]``.

    Args:
        spec: the network.
        hooks: the resolved hooks; no transforms.
        thetas: by rule, ``[R]``; P of them.
        parameters: of R replicas, changed in place.
        loss: None for the installed one that the spec names.

    Attributes:
        tangents: of each of `parameters.named()`, ``[R, P, ...]``; 0 at the start.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        thetas: Mapping[str, Tensor],
        parameters: Parameters,
        loss: Loss | None = None,
    ) -> None:
        self._spec, self._hooks, self._loss = spec, hooks, loss_of(spec, loss)
        self._replicas, self._count = parameters.replicas, len(thetas)
        self._thetas = {name: theta.view(-1, 1, 1) for name, theta in thetas.items()}
        self._direction = {name: p for p, name in enumerate(thetas)}
        self._values = parameters.named()
        self.tangents = {
            name: value.new_zeros(len(value), self._count, *value.shape[1:])
            for name, value in self._values.items()
        }
        self._needs = plan_needs(hooks, spec.depth)
        self._activation = ACTIVATIONS[spec.activation]

    def step(self, x: Tensor, target: Tensor) -> Tensor:
        """Learn from one mini-batch in each replica; return the outputs before the update.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        layers, branches = self._forward(x)
        top: Any = layers[-1]
        if self._needs[-1].error:
            top.error = top.output_error = self._loss.error(top.post, target)
        arrived: Any = None
        for p in reversed(range(self._spec.depth)):
            arrived = self._send_back(p, layers, branches[p], arrived)
            self._learn(p, layers[p])
        outputs: Tensor = top.post.value
        return outputs

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y_L, ``[R, K, n_L]``, and its tangents, ``[P, R, K, n_L]``.

        Args:
            x: ``[R, K, n_0]``.
        """
        layers, _ = self._forward(x)
        return value_and_tangent(layers[-1].post, self._count)

    def _forward(self, x: Tensor) -> tuple[list[Any], list[Any]]:
        """Return the signals known going up, and y_{l-1} without what skipped a layer."""
        layers: list[Any] = []
        activity: Any = x
        branches = [activity]
        for p in range(self._spec.depth):
            s: Any = Signals(p + 1)
            s.batch, s.pre, s.source = x.shape[1], activity, activity
            s.weight = self._dual(f"weight.{p + 1}")
            own = self._hooks.forward_at(p)
            z: Any = None if own is None else own(s)
            if z is None:
                z = self._product(activity, f"weight.{p + 1}", transposed=True)
            if p == self._spec.depth - 1:
                s.post = self._loss.output(z)
            else:
                y = self._activation.apply(z.value, None)
                s.post = Dual(y, self._activation.gate(z.tangent, y, None))
            branches.append(s.post)
            activity = s.post + activity if self._spec.skips[p] else s.post
            layers.append(s)
        return layers, branches

    def _send_back(self, p: int, layers: list[Any], branch: Any, above: Any) -> Any:
        """Compute what comes down through one projection; return the error before the gate."""
        s, needs, hooks = layers[p], self._needs[p], self._hooks
        sources = {}
        if needs.weight_error:
            sources["weight_error"] = s.error
        if needs.recon:
            sources["recon"] = s.post
        if sources:
            both = [value_and_tangent(source, self._count) for source in sources.values()]
            left = Dual(*(torch.cat(tensors, -2) for tensors in zip(*both, strict=True)))
            back = self._product(left, f"weight.{p + 1}", transposed=False)
            chunks = (t.chunk(len(sources), -2) for t in (back.value, back.tangent))
            for name, value, tangent in zip(sources, *chunks, strict=True):
                setattr(s, name, Dual(value, tangent))
        if hooks.feedback is not None:
            s.feedback = self._dual(f"feedback.{p + 1}")
        if needs.feedback_error:
            error = s.error if hooks.feedback == "layer" else s.output_error
            s.feedback_error = self._product(error, f"feedback.{p + 1}", transposed=True)
        if not needs.propagate:
            return None
        assert hooks.propagate is not None
        arrived: Any = hooks.propagate(s)
        if self._spec.skips[p]:
            arrived = arrived + above
        s.pre_error = self._gated(arrived, branch) if hooks.gated else arrived
        if p:
            layers[p - 1].error, layers[p - 1].output_error = s.pre_error, s.output_error
        return arrived

    def _gated(self, arrived: Any, branch: Any) -> Dual:
        """Return arrived * sigma', differentiated."""
        value, tangent = value_and_tangent(arrived, self._count)
        y = branch.value if isinstance(branch, Dual) else branch
        changed = self._activation.gate(tangent, y, None)
        if isinstance(branch, Dual):
            changed = torch.addcmul(changed, branch.tangent, value * self._activation.bend(y))
        return Dual(self._activation.gate(value, y, None), changed)

    def _learn(self, p: int, s: Any) -> None:
        """Add what the rules return to the matrices and to their tangents."""
        sums: dict[str, _TangentSum] = {}
        new_states = []
        for rule in self._hooks.local:
            if p not in rule.layers:
                continue
            s.state = state_view(rule.name, p, rule.spec.state, self._state)
            updates, new = rule.update(s)
            new_states += [(state_key(rule.name, p, name), v) for name, v in new.items()]
            for matrix, one in updates.items():
                name = f"{'weight' if matrix == 'forward' else 'feedback'}.{p + 1}"
                if name not in sums:
                    sums[name] = _TangentSum(self._values[name], self.tangents[name])
                for part in as_update(one).parts:
                    sums[name].collect(
                        part, self._thetas[rule.name], self._direction[rule.name], s.batch
                    )
        for total in sums.values():
            total.apply()
        for key, dual in new_states:
            value, tangent = value_and_tangent(dual, self._count)
            self._values[f"state.{key}"].copy_(value)
            self.tangents[f"state.{key}"].copy_(tangent.transpose(0, 1))

    def _state(self, key: str) -> Dual:
        # a copy, because what a rule returns may be a view of what is about to change
        dual = self._dual(f"state.{key}")
        return Dual(dual.value.clone(), dual.tangent.clone())

    def _dual(self, name: str) -> Dual:
        return Dual(self._values[name], self.tangents[name].transpose(0, 1))

    def _product(self, rows: Any, matrix: str, transposed: bool) -> Dual:
        """Return rows times a matrix, or its transpose, differentiated.

        Values and tangents of the rows go through the matrix in one product, the values through
        its tangents in another.
        """
        weight, tangent = self._values[matrix], self.tangents[matrix]
        value = rows.value if isinstance(rows, Dual) else rows
        replicas, events, count = self._replicas, value.shape[1], self._count
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


class _TangentSum:
    """What is added to one matrix ``[R, m, n]`` and to its tangents ``[R, P, m, n]``."""

    def __init__(self, value: Tensor, tangent: Tensor) -> None:
        self._value, self._tangent = value, tangent
        self._count = tangent.shape[1]
        self._lefts: list[Tensor] = []
        self._rights: list[Tensor] = []
        self._tangent_lefts: list[Tensor] = []
        self._tangent_rights: list[Tensor] = []
        self._decays: list[tuple[Tensor, int, Tensor | float, Tensor | None]] = []
        self._dense: list[tuple[Tensor, Tensor]] = []

    def collect(self, part: Part, theta: Tensor, direction: int, batch: int) -> None:
        """Take up one part of an update, whose theta, ``[R, 1, 1]``, is one of the P."""
        if isinstance(part, Outer):
            post, d_post = value_and_tangent(part.post, self._count)
            pre, d_pre = value_and_tangent(part.pre, self._count)
            scale = part.scale / batch
            scaled, left = post * (theta * scale), d_post * (theta * scale)
            left[direction].add_(post, alpha=scale)
            self._lefts.append(scaled)
            self._rights.append(pre)
            self._tangent_lefts += [left, scaled.expand_as(left)]
            self._tangent_rights += [pre.expand(self._count, -1, -1, -1), d_pre]
        elif isinstance(part, Decay):
            if part.factor is None:
                self._decays.append((theta * part.scale, direction, part.scale, None))
                return
            factor, d_factor = (
                f.sum(-2).unsqueeze(-1) * (part.scale / batch)
                for f in value_and_tangent(part.factor, self._count)
            )
            changed = (d_factor * theta).transpose(0, 1)
            self._decays.append((factor * theta, direction, factor, changed))
        else:
            assert isinstance(part, Dense)
            value, d_value = value_and_tangent(part.value, self._count)
            changed = d_value * (theta * part.scale)
            changed[direction].add_(value, alpha=part.scale)
            self._dense.append((value * (theta * part.scale), changed.transpose(0, 1)))

    def apply(self) -> None:
        """Change the matrix and its tangents."""
        if self._decays:
            self._decay()
        for value, tangent in self._dense:
            self._value.add_(value)
            self._tangent.add_(tangent)
        if not self._lefts:
            return
        left, right = torch.cat(self._lefts, 1), torch.cat(self._rights, 1)
        self._value.baddbmm_(left.mT, right)
        left, right = (
            torch.cat(factors, -2).transpose(0, 1).flatten(0, 1)
            for factors in (self._tangent_lefts, self._tangent_rights)
        )
        self._tangent.flatten(0, 1).baddbmm_(left.mT, right)

    def _decay(self) -> None:
        """Subtract the fraction of each row that decays, which all decays have in common."""
        rows = sum(fraction for fraction, *_ in self._decays)
        assert isinstance(rows, Tensor)
        # the tangents first: they need the matrix as it was
        self._tangent.addcmul_(self._tangent, rows.unsqueeze(1), value=-1)
        for _, direction, own, changed in self._decays:
            one = self._tangent[:, direction]
            if isinstance(own, Tensor):
                one.addcmul_(self._value, own, value=-1)
            else:
                one.add_(self._value, alpha=-own)
            if changed is not None:
                self._tangent.addcmul_(self._value.unsqueeze(1), changed, value=-1)
        self._value.addcmul_(self._value, rows, value=-1)
