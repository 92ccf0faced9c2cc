"""Random numbers: from a seed and a purpose, one stream of its own for each."""

from __future__ import annotations

from enum import IntEnum

from numpy.random import SeedSequence


class Purpose(IntEnum):
    """What random numbers are for; a number, once given, stays, for it decides what is drawn."""

    WEIGHTS = 0
    FEEDBACK = 1
    TRAINING_ORDER = 2
    EPISODE_POINTS = 3
    EPISODE_NETWORK = 4


def seed_sequence(purpose: Purpose, *seed: int) -> SeedSequence:
    """Return what seeds a generator for one purpose.

    Args:
        purpose: what is drawn.
        seed: of the network, or seed and number of an episode.
    """
    return SeedSequence([*seed, purpose])
