"""Random numbers: from a seed and a purpose, one stream of its own for each."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from typing import Final

from numpy.random import SeedSequence

#: Of what noise is made of (`plastic_core.networks.noise`); results that have noise depend on it.
NOISE_VERSION: Final = 1


class Purpose(IntEnum):
    """What random numbers are for; a number, once given, stays, for it decides what is drawn."""

    WEIGHTS = 0
    FEEDBACK = 1
    TRAINING_ORDER = 2
    EPISODE_POINTS = 3
    EPISODE_NETWORK = 4
    STATE = 5
    NOISE = 6
    CONNECTIONS = 7


def seed_sequence(purpose: Purpose, *seed: int) -> SeedSequence:
    """Return what seeds a generator for one purpose.

    Args:
        purpose: what is drawn.
        seed: of the network, or seed and number of an episode.
    """
    return SeedSequence([*seed, purpose])


def name_hash(name: str) -> int:
    """Return 63 bits that stand for a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
