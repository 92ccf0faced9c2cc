"""What the processor can do, from measurements that reach it: products in registers, and readings.

* arithmetic: a product of matrices that lie in the first-level cache, of which four rows times
  three vectors stay in registers; 2 flop for each multiplication and the addition that follows.
* readings: how fast numbers come from each cache, half of which is read over and over.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch

from plastic_core.backends.native.library import load_library

# what native multiplies by, at work where nothing has to be fetched
_SOURCE: Final = """\
#define INNER 128

/* c [4, 3 vectors] += a [INNER, 4] times b [INNER, 3 vectors] */
void multiply(const real *a, const vec *b, vec *c, long times) {
    for (long time = 0; time < times; time++) {
        vec sum[ROWS][WIDEST] = {0};
        add_products(WIDEST, ROWS, sum, b, WIDEST, a, ROWS, INNER);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < WIDEST; v++) c[WIDEST * r + v] += sum[r][v];
        __asm__ volatile("" ::: "memory"); /* each time anew */
    }
}

double flop(long times) { return 2.0 * ROWS * WIDEST * LANES * INNER * (double)times; }

/* the sum of so many bytes goes into their first vector */
void read(vec *values, long bytes, long passes) {
    const long count = bytes / VECTOR_BYTES;
    for (long pass = 0; pass < passes; pass++) {
        vec sums[8] = {0};
        for (long i = 0; i + 8 <= count; i += 8)
            for (int j = 0; j < 8; j++) sums[j] += values[i + j];
        for (int j = 1; j < 8; j++) sums[0] += sums[j];
        values[0] = sums[0] * 0;
        __asm__ volatile("" ::: "memory"); /* each pass reads again */
    }
}
"""

#: Bytes of the caches where the system does not say.
_USUAL: Final = (32 << 10, 512 << 10, 16 << 20)

# Of the largest cache so much is measured, for others read there too.
_MOST: Final = 8 << 20

_SECONDS: Final = 0.02


@dataclass
class Limits:
    """What one core can do, the best of all measurements so far.

    Attributes:
        caches: bytes of each level of the cache.
        flop: operations a second.
        bytes: that can be read in a second, of each level.
    """

    caches: tuple[int, ...]
    flop: float
    bytes: list[float]

    @classmethod
    def make(cls) -> Limits:
        """Return limits that nothing was measured of yet."""
        caches = _caches()
        return cls(caches, 0.0, [0.0] * len(caches))

    def measure(self) -> None:
        """Measure for some hundredths of a second each, and keep what was better than before."""
        kernels = (files("plastic_core.backends.native") / "kernels.c").read_text()
        library = load_library(f"typedef float real;\n{kernels}{_SOURCE}", "read").loaded
        library.flop.restype = ctypes.c_double
        memory = torch.zeros(_MOST // 4 + 16)
        start = (memory.data_ptr() + 63) // 64 * 64
        first, second, third = (ctypes.c_void_p(start + n * 16384) for n in range(3))
        times = ctypes.c_long(20_000)
        seconds = _fastest(partial(library.multiply, first, second, third, times))
        self.flop = max(self.flop, library.flop(times) / seconds)
        for level, cache in enumerate(self.caches):
            size = min(cache // 2, _MOST)
            passes = ctypes.c_long(max(1, (8 << 20) // size))
            seconds = _fastest(partial(library.read, first, ctypes.c_long(size), passes))
            self.bytes[level] = max(self.bytes[level], size * passes.value / seconds)

    def bytes_of(self, size: int) -> float:
        """Return how many bytes a second come from where so many bytes lie."""
        fit = (level for level, cache in enumerate(self.caches) if size <= cache)
        return self.bytes[next(fit, -1)]

    def record(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {"flop_per_second": self.flop, "caches": self.caches, "bytes_per_second": self.bytes}


def _fastest(run: Callable[[], object]) -> float:
    """Return the least seconds that something took."""
    best, begun = float("inf"), time.process_time()
    while time.process_time() < begun + _SECONDS:
        before = time.process_time()
        run()
        best = min(best, time.process_time() - before)
    return max(best, 1e-9)


def _caches() -> tuple[int, ...]:
    """Return the bytes of the data caches, from the first level on."""
    found = {}
    for one in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (one / "type").read_text().strip() != "Instruction":
                size = (one / "size").read_text().strip().removesuffix("K")
                found[int((one / "level").read_text())] = int(size) << 10
        except (OSError, ValueError):
            return _USUAL
    return tuple(found[level] for level in sorted(found)) or _USUAL
