"""What rules and transforms return in one projection, added to its matrices."""

from __future__ import annotations

from collections.abc import Container, Mapping

from torch import Tensor

from plastic_core.api.signals import Signals
from plastic_core.backends.eager.matrix_sum import MatrixSum
from plastic_core.backends.step.learning import transformed, updates_of
from plastic_core.base.errors import TrainingError, describe_exception
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.networks.parameters import Parameters


class MatrixLearning:
    """All that changes the matrices of one projection.

    Args:
        projection: counted from 0.
        hooks: the resolved hooks.
        thetas: by name, ``[R, 1, 1]``.
        parameters: changed in place.
        masks: by matrix, for each projection the elements that may change.
        numbers: see `MatrixSum`.
    """

    def __init__(
        self,
        projection: int,
        hooks: Hooks,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        masks: dict[str, list[Tensor | None]],
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        self._projection, self._hooks, self._states = projection, hooks, parameters.state
        self._transformed = bool(hooks.transforms_at(projection))
        tensors = {"forward": parameters.weights, "feedback": parameters.feedback}
        here = [rule for rule in hooks.local if projection in rule.layers]
        self._sums: dict[str, MatrixSum] = {
            matrix: MatrixSum(
                tensors[matrix][projection], thetas, masks[matrix][projection], numbers
            )
            for matrix in sorted({matrix for rule in here for matrix in rule.spec.modifies})
        }
        self._names = " and ".join(rule.name for rule in here)

    def rescale(self, names: Container[str]) -> None:
        """Take up thetas that have changed."""
        for total in self._sums.values():
            total.rescale(names)

    def update(self, own: Own, s: Signals) -> None:
        """Let every rule compute its increment, then add them all."""
        new_states: dict[str, Tensor] = {}
        for rule, updates, new in updates_of(self._hooks, self._projection, s, own):
            if new:  # copied, because it may be a view of what is about to change
                new_states |= {key: value.clone() for key, value in new.items()}
            try:
                for matrix, update in updates.items():
                    self._sums[matrix].collect(rule.theta, update)
            except Exception as error:
                raise _unfit(rule.name, s.layer, error) from error
        try:
            for matrix, total in self._sums.items():
                if self._transformed:
                    new_states |= self._add_transformed(matrix, total, s.batch)
                else:
                    total.add(s.batch)
        except TrainingError:
            raise
        except Exception as error:
            raise _unfit(self._names, s.layer, error) from error
        for key, value in new_states.items():
            self._states[key].copy_(value)

    def _add_transformed(self, matrix: str, total: MatrixSum, batch: int) -> dict[str, Tensor]:
        increment, new = transformed(
            self._hooks,
            self._projection,
            matrix,
            total.increment(batch),
            total.matrix,
            self._states.__getitem__,
        )
        copies = {key: value.clone() for key, value in new.items()}
        total.change(increment)
        return copies


def _unfit(rules: str, layer: int, error: Exception) -> TrainingError:
    return TrainingError(
        f"what {rules} returned in layer {layer} cannot be added to the matrices: "
        f"{describe_exception(error)}"
    )
