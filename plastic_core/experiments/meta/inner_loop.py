"""The inner loop: networks that learn one episode each, and how they answer afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.backends.choice import BackendRequest, choose_backend
from plastic_core.backends.dual.dual import Dual, value_and_tangent
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.native.compiler import CompilerError
from plastic_core.backends.native.native_backend import NativeBackend, NativeCode
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.native.program import NotNativeError
from plastic_core.base.errors import PlasticError
from plastic_core.experiments.meta.episodes import Episode
from plastic_core.hooks.hooks import Hooks, resolve_hooks
from plastic_core.networks.parameters import Parameters, add_states, initial_parameters
from plastic_core.plan.plan import Plan


@dataclass(frozen=True)
class Answers:
    """How R networks answer the queries of their episodes.

    Attributes:
        loss: ``[R]``, mean over the queries, of the network's loss or of the squared difference
            from a teacher's activities; not finite where a network diverged.
        accuracy: ``[R]``; chance level where a network diverged.
        gradient: ``[R, P]``, of the loss with respect to the thetas.
        differences: ``[R, N]``, of N activities from a teacher's; None without one.
        slopes: ``[R, N, P]``, of those with respect to the thetas.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    gradient: NDArray[np.float64]
    differences: NDArray[np.float64] | None = None
    slopes: NDArray[np.float64] | None = None


class InnerLoop:
    """Trains a fresh network for each episode, online, each point once.

    Args:
        plan: rules and network.
        inputs: ``[N, n]``, the points that episodes are drawn from.
        backend: "native", "eager", or "auto" for the first that can do it.
        threads: networks trained at once; eager trains them side by side.
        teacher: the plan of networks whose activities are those that are wanted, on the same
            network; None for the loss of the queries.

    Attributes:
        backend: the one that is used.
        reason: why, where it is not the one that was asked for, or what else the user is told.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: NDArray[np.float32],
        backend: str,
        threads: int,
        teacher: Plan | None = None,
    ) -> None:
        self._dtype: torch.dtype = getattr(torch, plan.spec.dtype)
        self._circuit = plan.circuit
        self._names = [name for rule in plan.rules for name in rule.learnable]
        # of a rule that multiplies itself the engine's own factor stays 1; that of a rule all of
        # whose layers have their own is none
        self._every = [
            name
            for rule in plan.rules
            for name in rule.thetas
            if rule.own or name in rule.learnable
        ]
        self._hooks: Hooks = resolve_hooks(
            plan.selected,
            [t.transform for t in plan.transforms],
            self._dtype,
            plan.theta_layers,
            plan.circuit,
            transform_layers=plan.transform_layers,
        )
        self._inputs = torch.from_numpy(inputs)
        self._one_hot = torch.eye(self._circuit.sizes[-1], dtype=self._dtype)
        self._threads = threads
        self._teacher: Teacher | None = None
        if teacher is not None:
            self._teacher = Teacher(teacher, InnerLoop(teacher, inputs, "eager", threads))
        self._code: NativeCode | None = None  # with tangents
        self._plain_code: NativeCode | None = None
        self.backend, self.reason = "eager", ""
        if backend != "eager":
            self._try_native()

    def learn(self, thetas: NDArray[np.float64], episodes: Sequence[Episode]) -> Answers:
        """Return how the networks answer, and the gradients of their losses.

        Args:
            thetas: ``[R, P]``, in the order of the expression.
            episodes: one for each replica.
        """
        parameters = self._fresh([episode.network for episode in episodes])
        named = self._named(thetas)
        points, labels, queries, asked = _stacked(episodes)
        with torch.inference_mode():
            step = TangentStep(self._circuit, self._hooks.guarded(), named, parameters)
            x, target = self._x(points), self._one_hot[labels]
            failed = torch.full((len(x),), -1)
            if self._code is not None:
                failed = self._native(step, named, parameters, x, target)
            else:
                for one, wanted in zip(x.unbind(1), target.unbind(1), strict=True):
                    step.step(one.unsqueeze(1), wanted.unsqueeze(1))
            own = [self._every.index(name) for name in self._names]
            activities = [(y, d[own]) for y, d in step.activities(self._x(queries))]
            outputs, tangents = activities[-1]
            loss, target = self._circuit.loss, self._one_hot[asked]
            if self._teacher is None:
                return _answers(loss, outputs, tangents, target, failed)
            answers = _answers(loss, outputs, None, target, failed)
            return _compared(answers, activities, self._teacher.activities(episodes))

    def test(self, thetas: NDArray[np.float64], episodes: Sequence[Episode]) -> Answers:
        """Return how the networks answer, without gradients, by the fastest backend.

        Args:
            thetas: ``[R, P]``, in the order of the expression.
            episodes: one for each replica.
        """
        activities, failed = self.activities(thetas, episodes)
        target = self._one_hot[_stacked(episodes)[-1]]
        return _answers(self._circuit.loss, activities[-1], None, target, failed)

    def activities(
        self, thetas: NDArray[np.float64], episodes: Sequence[Episode]
    ) -> tuple[list[Tensor], Tensor]:
        """Return y_1 .. y_L at the queries, ``[R, Q, n]``, and where each network diverged, or -1.

        The arguments are those of `test`.
        """
        parameters = self._fresh([episode.network for episode in episodes])
        named = self._named(thetas)
        points, labels, queries, _ = _stacked(episodes)
        x, target = self._x(points).flatten(0, 1), self._one_hot[labels].flatten(0, 1)
        backend = choose_backend(
            BackendRequest(
                "auto",
                self._circuit,
                self._hooks,
                named,
                parameters,
                x,
                target,
                batch_size=1,
                updates=points.shape[1],
                threads=self._threads,
                code=self._plain_code,
            )
        ).backend
        if isinstance(backend, NativeBackend):
            self._plain_code = backend.code
        failed = backend.advance(torch.arange(len(x)).view(len(points), -1))
        found = [
            backend.activities(self._x(one).unsqueeze(0), replica)[1:]
            for replica, one in enumerate(queries)
        ]
        return [torch.cat(layer) for layer in zip(*found, strict=True)], failed

    def _named(self, thetas: NDArray[np.float64]) -> dict[str, Tensor]:
        """Return all thetas by name, ``[R]`` each."""
        columns = torch.from_numpy(thetas).to(self._dtype).T.contiguous()
        learned = dict(zip(self._names, columns, strict=True))
        one = torch.ones(len(thetas), dtype=self._dtype)
        return {name: learned.get(name, one) for name in self._every}

    def _native(
        self,
        step: TangentStep,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        x: Tensor,
        target: Tensor,
    ) -> Tensor:
        """Train, and return for each network where it diverged, or -1."""
        backend = NativeTangents(
            self._circuit,
            self._hooks,
            thetas,
            parameters,
            x.flatten(0, 1),
            target.flatten(0, 1),
            batch_size=1,
            threads=self._threads,
            code=self._code,
        )
        backend.carry(step.tangents)
        self._code = backend.code
        # every network has points of its own
        return backend.advance(torch.arange(len(x) * x.shape[1]).view(len(x), -1))

    def _try_native(self) -> None:
        """Compile; where that is not possible, say why."""
        parameters = self._fresh([0])
        thetas = {name: torch.zeros(1, dtype=self._dtype) for name in self._every}
        step = TangentStep(self._circuit, self._hooks.guarded(), thetas, parameters)
        x = torch.zeros(1, 0, self._circuit.sizes[0], dtype=self._dtype)
        try:
            self._native(step, thetas, parameters, x, x[..., :1].expand(-1, -1, len(self._one_hot)))
            assert self._code is not None
            self.backend, self.reason = "native", "; ".join(self._code.library.notes)
        except (NotNativeError, CompilerError) as error:
            self.reason = f"not native: {error}"

    def _fresh(self, seeds: list[int]) -> Parameters:
        feedback = self._hooks.feedback
        parameters = initial_parameters(self._circuit, seeds, feedback, self._dtype)
        add_states(parameters, self._hooks)
        return parameters

    def _x(self, points: Tensor) -> Tensor:
        return self._inputs[points].to(self._dtype)


class Teacher:
    """Networks that learn by a known rule, from the weights and points of those that are compared.

    Args:
        plan: of its rules.
        inner: trains them.
    """

    def __init__(self, plan: Plan, inner: InnerLoop) -> None:
        self._rule, self._inner = plan.spec.rule, inner
        values = [value for rule in plan.rules for value, _ in rule.learnable.values()]
        self._thetas = np.array(values)

    def activities(self, episodes: Sequence[Episode]) -> list[Tensor]:
        """Return y_1 .. y_L at the queries, ``[R, Q, n]``.

        Raises:
            PlasticError: it diverges.
        """
        thetas = np.tile(self._thetas, (len(episodes), 1))
        found, failed = self._inner.activities(thetas, episodes)
        if (failed >= 0).any():
            raise PlasticError(
                f"teacher {self._rule!r}: a network that learns by it leaves the finite range "
                f"after {int(failed.max()) + 1} points; give it smaller thetas"
            )
        return found


def _stacked(episodes: Sequence[Episode]) -> tuple[Tensor, ...]:
    """Return points, labels, queries and their labels, ``[R, ...]``."""
    names = ("points", "labels", "queries", "query_labels")
    return tuple(torch.from_numpy(np.stack([getattr(e, n) for e in episodes])) for n in names)


def _answers(
    loss: Loss, outputs: Tensor, tangents: Tensor | None, target: Tensor, failed: Tensor
) -> Answers:
    """Return the loss, and by the chain rule its gradient.

    Args:
        loss: of the network.
        outputs: ``[R, Q, n_L]``.
        tangents: ``[P, R, Q, n_L]``, or None for no gradient.
        target: ``[R, Q, n_L]``.
        failed: ``[R]``, where a network diverged, or -1.
    """
    diverged = (failed >= 0) | ~outputs.isfinite().flatten(1).all(1)
    seen: Any = outputs if tangents is None else Dual(outputs, tangents)
    count = 0 if tangents is None else len(tangents)
    value, change = value_and_tangent(loss.value(seen, target), count)
    chance, score = loss.chance(target[0]), loss.score(outputs, target).double()
    return Answers(
        loss=torch.where(diverged, torch.nan, value.double().mean(-1)).numpy(),
        accuracy=torch.where(diverged, chance, score).numpy(),
        gradient=change.double().mean(-1).T.numpy(),
    )


def _compared(
    answers: Answers, activities: Sequence[tuple[Tensor, Tensor]], wanted: Sequence[Tensor]
) -> Answers:
    """Return answers whose loss is the mean squared difference from a teacher's activities.

    Args:
        answers: of the networks.
        activities: y_1 .. y_L, ``[R, Q, n]``, each with its tangents, ``[P, R, Q, n]``.
        wanted: the same of the teacher.
    """
    ours = torch.cat([y.flatten(1) for y, _ in activities], 1).double()
    changes = torch.cat([tangent.flatten(2) for _, tangent in activities], 2).double()
    difference = ours - torch.cat([y.flatten(1) for y in wanted], 1)
    lost = ~torch.from_numpy(answers.loss).isfinite()
    loss = torch.where(lost, torch.nan, difference.square().mean(1))
    gradient = 2 * (difference * changes).mean(2).T
    return replace(
        answers,
        loss=loss.numpy(),
        gradient=gradient.numpy(),
        differences=difference.numpy(),
        slopes=changes.permute(1, 2, 0).numpy(),
    )
