"""How fast four passes over the weights can be read from the cache: what no update is below
that reads each weight going forward, going back, and to change it, and writes it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import torch

from plastic_core.backends.native.library import load_library
from plastic_core.bench.case import Case

_SOURCE: Final = """\
typedef float vec __attribute__((vector_size(64)));

float read(const vec *values, long count, long passes) {
    vec total = {0};
    for (long pass = 0; pass < passes; pass++) {
        vec sums[8] = {0};
        for (long i = 0; i + 8 <= count; i += 8)
            for (int j = 0; j < 8; j++) sums[j] += values[i + j];
        for (int j = 0; j < 8; j++) total += sums[j];
        __asm__ volatile("" ::: "memory"); /* each pass reads again */
    }
    return total[0];
}
"""


def four_passes(case: Case) -> Callable[[int], None]:
    """Return a function that reads as many floats as there are weights, four times an update."""
    weights = sum(w.numel() for w in case.weights())
    library = load_library(_SOURCE, "read").loaded
    library.read.restype = ctypes.c_float
    values = torch.zeros(weights + 16)
    aligned = (values.data_ptr() + 63) // 64 * 64

    def run(updates: int) -> None:
        library.read(
            ctypes.c_void_p(aligned), ctypes.c_long(weights // 16), ctypes.c_long(4 * updates)
        )

    return run
