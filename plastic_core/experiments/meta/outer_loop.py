"""The outer loop: one step of the thetas along the gradient of an episode, or back."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from plastic_core.experiments.meta.history import History
from plastic_core.experiments.meta.inner_loop import Answers
from plastic_core.experiments.meta.meta_spec import GAUSS_NEWTON, MetaSpec
from plastic_core.experiments.meta.thetas import starts
from plastic_core.plan.plan import Plan

# Episodes that the thetas go back where learning diverges: as many as Adam's mean gradient
# remembers, which is what led there.
_BACK: Final = 10

# What is left of the steps then. A rule often learns fastest just below where it diverges, so that
# the thetas are drawn there again.
_SHORTER: Final = 0.5


# Of torch.optim; others need more than a gradient, or mix the rows of a matrix, here the seeds.
_BY_NUMBER: Final = (
    *("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD"),
    *("NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
)


class Outer:
    """The thetas ``[S, P]`` of S independent meta-trainings, and their optimiser.

    An episode whose networks all diverge has no gradient. The last ten steps that led to its thetas
    are undone, twenty where it is the second in a row, and so on, and all further steps of that
    meta-training are half as long.

    Attributes:
        parameter: the thetas, as the optimiser has them.
        optimizer: of torch.optim.
    """

    def __init__(self, spec: MetaSpec, plan: Plan) -> None:
        self._spec, self._dtype = spec, getattr(torch, spec.dtype)
        learnable = [one for rule in plan.rules for one in rule.learnable.values()]
        self._bounds = [theta.bounds for _, theta in learnable]
        start = [*starts(plan).values()]
        self.parameter = torch.tensor([start] * spec.seeds, dtype=torch.float64)
        self.parameter.requires_grad_()
        make = optimizers()[spec.optimizer]
        self.optimizer: torch.optim.Optimizer = make([self.parameter], lr=spec.learning_rate)

    @property
    def thetas(self) -> NDArray[np.float64]:
        """``[S, P]``."""
        return self.parameter.detach().numpy().copy()

    def step(self, answers: Answers, history: History, number: int) -> None:
        """Follow the mean gradient of each seed's networks, then keep to the bounds."""
        spec = self._spec
        shape = (spec.seeds, spec.parallel)
        gradient = answers.gradient.reshape(*shape, -1)
        norm = np.linalg.norm(gradient, axis=-1)
        diverged = ~(np.isfinite(norm) & np.isfinite(answers.loss.reshape(shape)))
        newton = spec.optimizer == GAUSS_NEWTON  # which follows no gradient
        clipped = ~diverged & (norm > spec.clip) & (not newton)
        # of a network that diverged no direction is known; it counts in the mean, as 0
        scale = np.where(clipped, spec.clip / np.where(clipped, norm, 1), 1.0)
        gradient = np.where(diverged[..., None], 0, gradient) * scale[..., None]
        history.gradient[:, number] = gradient.mean(1)
        history.accuracy[:, number] = answers.accuracy.reshape(shape).mean(1)
        history.loss[:, number] = answers.loss.reshape(shape).mean(1)
        history.diverged[:, number] = diverged.sum(1)
        history.clipped[:, number] = clipped.sum(1)
        step = self._newton(answers, ~diverged) if newton else gradient.mean(1)
        self._follow(step, history, number)
        history.theta[:, number + 1] = self.thetas

    def _newton(self, answers: Answers, known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what is to be taken from the thetas of each seed, ``[S, P]``.

        Args:
            answers: with differences from a teacher.
            known: ``[S, parallel]``, networks that did not diverge.
        """
        found, precision = np.zeros_like(self.thetas), torch.finfo(self._dtype).eps
        assert answers.differences is not None
        assert answers.slopes is not None
        for seed, own in enumerate(known):
            networks = seed * self._spec.parallel + np.flatnonzero(own)
            if len(networks):
                slopes = np.concatenate(answers.slopes[networks])
                rounding = precision * slopes.shape[1]
                # each theta is measured by what it changes; one that changes no more than rounding
                # does stays where it is
                size = np.linalg.norm(slopes, axis=0)
                told = size > rounding * size.max()
                scale = np.divide(1, size, np.zeros_like(size), where=told)
                differences = answers.differences[networks].ravel()
                step = np.linalg.lstsq(slopes * scale, differences, rounding)[0] * scale
                limits = self.thetas[seed] - np.array(self._bounds, float).T[::-1]
                if (step < limits[0]).any() or (step > limits[1]).any():
                    step = _within(slopes * scale, differences, limits, scale)
                found[seed] = step
        return found

    def _follow(self, gradient: NDArray[np.float64], history: History, number: int) -> None:
        thetas = self.thetas
        lost = history.diverged[:, : number + 1] == self._spec.parallel
        length = _SHORTER ** lost.sum(1, keepdims=True)
        state = self.optimizer.state[self.parameter]
        before = {name: value.clone() for name, value in state.items()}
        self.parameter.grad = torch.from_numpy(gradient + self._spec.l1 * np.sign(thetas))
        self.optimizer.step()
        after = thetas + length * (self.thetas - thetas)
        for seed in np.flatnonzero(lost[:, -1]):
            after[seed] = history.theta[seed, _place_to_go_back_to(lost[seed])]
            for name, value in state.items():  # what the optimiser remembers, but its step count
                if value.shape == self.parameter.shape:
                    value[seed] = before[name][seed] if before else 0
        with torch.no_grad():
            self.parameter.copy_(torch.from_numpy(after))
            for column, bounds in zip(self.parameter.unbind(1), self._bounds, strict=True):
                column.clamp_(*bounds)


def _within(
    slopes: NDArray[np.float64],
    differences: NDArray[np.float64],
    limits: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the step of least squares that keeps all thetas within their bounds.

    What is only cut off there would leave the others where they would be without bounds.

    Args:
        slopes: ``[N, P]``, scaled.
        differences: ``[N]``.
        limits: ``[2, P]``, of the step.
        scale: ``[P]``; 0 for thetas that stay where they are.
    """
    from scipy.optimize import lsq_linear

    told, step = scale > 0, np.zeros_like(scale)
    within = limits[:, told] / scale[told]
    step[told] = lsq_linear(slopes[:, told], differences, within, "bvls").x * scale[told]
    return step


def _place_to_go_back_to(lost: NDArray[np.bool_]) -> int:
    """Return the episode whose thetas are taken again, after one that was lost.

    Args:
        lost: of each episode so far, whether all its networks diverged.
    """
    path: list[int] = []  # the episodes that led to where the thetas are, without what was undone
    place = 0
    for episode, is_lost in enumerate(lost):
        if is_lost:
            place = path[-_BACK] if len(path) >= _BACK else 0
            del path[-_BACK:]
        else:
            path.append(episode)
    return place


def optimizers() -> dict[str, Any]:
    """Return the optimisers of torch.optim by name, and what takes steps of Gauss and Newton.

    Those that step each number by itself: seeds stand in one matrix, and others would mix them.
    """
    found = {name: getattr(torch.optim, name) for name in _BY_NUMBER if hasattr(torch.optim, name)}
    return {GAUSS_NEWTON: torch.optim.SGD} | found
