"""Noise of rules: standard normal numbers that are counted, not drawn.

Each number is made of the seed of its network, the number of the update, a name and its place
alone. So it is the same on every backend, alone and among others, for every theta, before and
after a run was resumed, and in every hook that reads it.

    key of an update    k = mix(mix(seed + updates G) xor hash of rule, projection and name)
    number i of it      x = mix(k + (i + 1) G), 64 bits

where mix and G are those of SplitMix64 (Steele, Lea, Flood 2014). The upper and the lower 32 bits
of x are two uniform numbers, of which Box and Muller (1958) make a normal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from plastic_core.base.seeds import Purpose, name_hash, seed_sequence

#: The state that holds for each replica what its seed gives, and how many updates there were.
NOISE: Final = "noise"

_WORD: Final = 2**32


def _signed(number: int) -> int:
    """Return 64 bits as torch has them, with a sign."""
    return number - 2**64 if number >= 2**63 else number


_G: Final = _signed(0x9E3779B97F4A7C15)
_FIRST: Final = _signed(0xBF58476D1CE4E5B9)
_SECOND: Final = _signed(0x94D049BB133111EB)


def initial_noise(seeds: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the state before the first update, ``[R, 1, 2]`` int64.

    Args:
        seeds: of the replicas.
        like: a tensor of the same device.
    """
    words = [seed_sequence(Purpose.NOISE, seed).generate_state(1, np.uint64)[0] for seed in seeds]
    rows = [[[_signed(int(word)), 0]] for word in words]
    return torch.tensor(rows, dtype=torch.int64, device=like.device)


def count_updates(states: Mapping[str, Tensor], updates: int = 1) -> None:
    """Count updates in the state that noise is made of, where there is one."""
    if NOISE in states:
        states[NOISE][:, :, 1] += updates


def standard_normal(
    state: Tensor,
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    stored: Callable[[Tensor], Tensor] = lambda word: word,
) -> Tensor:
    """Return numbers of the next update, ``[R, rows, columns]``.

    Args:
        state: the number of updates, and what the seeds give; ``[R, 1, 2]``.
        name: what they are for.
        shape: all but the last dimension are rows.
        dtype: of the numbers.
        stored: makes a compiler store what is used several times, for what is mixed three times
            it would otherwise write out anew at each use, and take minutes.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    seed, updates = state[:, :, :1], state[:, :, 1:]
    key = _mix(_mix(seed + updates * _G, stored) ^ name_hash(name), stored)
    place = _multiples(rows, columns, state.device).view(-1, 1)
    place = place + _multiples(columns + 1, 1, state.device)[1:]
    word = _mix(key + place, stored)
    above = ((_shifted(word, 32)).to(dtype) + 0.5) / _WORD
    below = (word & (_WORD - 1)).to(dtype) / _WORD
    return (-2 * above.log()).sqrt() * (2 * math.pi * below).cos()


class NoiseOfUpdate:
    """Noise of the present update, which all hooks see alike.

    Args:
        states: those of the networks, of which one counts updates; read whenever noise is made.
        dtype: of the noise.
        alone: whether each sample of a mini-batch has the noise that it would have alone.
        stored: see `standard_normal`.
    """

    def __init__(
        self,
        states: Mapping[str, Tensor],
        dtype: torch.dtype,
        alone: bool = False,
        stored: Callable[[Tensor], Tensor] = lambda word: word,
    ) -> None:
        self._states, self._dtype, self._alone, self._stored = states, dtype, alone, stored
        self._made: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def forget(self) -> None:
        """Begin another update."""
        self._made.clear()

    def of(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return noise; see `plastic_core.hooks.own.Own`."""
        if (name, shape) not in self._made:
            one = (shape[0], 1, *shape[2:]) if self._alone and len(shape) > 2 else shape
            made = standard_normal(self._states[NOISE], name, one, self._dtype, self._stored)
            if one != shape:
                made = made.view(-1, *one).expand(-1, *shape).flatten(1, 3)
            self._made[name, shape] = made
        return self._made[name, shape]


@cache
def _multiples(count: int, step: int, device: torch.device) -> Tensor:
    """Return k G for k = 0, step, 2 step and so on, `count` of them.

    Kept, so that torch.compile finds numbers: it would make them from a loop's index, and as a
    product that overflows is undefined in C++, a compiler then leaves out the loop's end.
    """
    with torch.inference_mode(False):
        return torch.arange(0, count * step, step, device=device) * _G


def _mix(word: Tensor, stored: Callable[[Tensor], Tensor]) -> Tensor:
    word = stored(word)
    word = stored((word ^ _shifted(word, 30)) * _FIRST)
    word = stored((word ^ _shifted(word, 27)) * _SECOND)
    return stored(word ^ _shifted(word, 31))


def _shifted(word: Tensor, bits: int) -> Tensor:
    """Return words to the right, zeros coming from the left."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)
