"""What is kept of each episode of meta-learning."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.results.labelled_arrays import LabelledArrays, Variable

# Episodes over which the last accuracy is averaged.
_LAST = 50

# What it is called, and its unit.
_MINIMISED: Final = {
    "loss": ("mean loss on the queries", "nat"),
    "difference": ("mean squared difference from the activities of the teacher", "1"),
}


@dataclass
class History:
    """Over (seed, episode); numbers of episodes to come are 0.

    Attributes:
        rules: names, in the order of the expression.
        seeds: of the meta-trainings.
        theta: ``[S, episodes + 1, P]``; the first are those at the start.
        gradient: ``[S, episodes, P]``, of the loss, clipped.
        accuracy: ``[S, episodes]``, of the queries, mean over the parallel networks.
        loss: ``[S, episodes]``, that is minimised, mean over the queries; not finite where a
            network diverged.
        diverged: ``[S, episodes]``, networks that left the finite range.
        clipped: ``[S, episodes]``, networks whose gradient was clipped.
        done: episodes done.
    """

    rules: list[str]
    seeds: list[int]
    theta: NDArray[np.float64]
    gradient: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    diverged: NDArray[np.int64]
    clipped: NDArray[np.int64]
    done: int = 0

    @classmethod
    def empty(cls, spec: MetaSpec, rules: list[str]) -> History:
        """Return a history of nothing."""
        seeds = list(range(spec.first_seed, spec.first_seed + spec.seeds))
        shape, count = (len(seeds), spec.episodes), len(rules)
        return cls(
            rules,
            seeds,
            np.zeros((shape[0], shape[1] + 1, count)),
            np.zeros((*shape, count)),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, to be written and read back in place."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def summary(self) -> dict[str, Any]:
        """Return what the record holds of it."""
        last = self.accuracy[:, -_LAST:].mean(1)
        return {
            "thetas": [
                dict(zip(self.rules, thetas, strict=True)) for thetas in self.theta[:, -1].tolist()
            ],
            "accuracy": last.tolist(),
            "accuracy_over": min(_LAST, self.accuracy.shape[1]),
            "diverged": int(self.diverged.sum()),
            "clipped": int(self.clipped.sum()),
        }

    def labelled(self, of: Literal["loss", "difference"]) -> LabelledArrays:
        """Return the history with named dimensions, units and descriptions.

        Args:
            of: what was minimised, the loss of the queries or the difference from a teacher.
        """
        over = ("seed", "episode")
        minimised, units = _MINIMISED[of]

        def described(name: str, dims: tuple[str, ...], text: str, units: str = "1") -> Variable:
            return dims, getattr(self, name), {"long_name": text, "units": units}

        return LabelledArrays(
            {
                "theta": described("theta", ("seed", "step", "rule"), "theta before each episode"),
                "gradient": described(
                    "gradient", (*over, "rule"), f"gradient of the {minimised}", units
                ),
                "accuracy": described("accuracy", over, "accuracy on the queries"),
                "loss": described("loss", over, minimised, units),
                "diverged": described("diverged", over, "networks that diverged"),
                "clipped": described("clipped", over, "networks whose gradient was clipped"),
            },
            {
                "seed": (("seed",), self.seeds, {"long_name": "seed of the meta-training"}),
                "episode": (("episode",), np.arange(1, self.accuracy.shape[1] + 1), {}),
                "step": (("step",), np.arange(self.theta.shape[1]), {}),
                "rule": (("rule",), self.rules, {}),
            },
        )
