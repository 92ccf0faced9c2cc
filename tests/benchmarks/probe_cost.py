"""What probes cost: the same command with and without them, in turns.

    python tests/benchmarks/probe_cost.py [ROUNDS [FLAGS OF plastic run ...]]

All built-in probes but those that measure at the last point alone. Probes of one network run beside
the evaluation of the next, so that only whole runs can be compared, and these are at the mercy of
what else the machine does: the medians are what to look at. Needs MNIST (PLASTIC_DATA_DIR).
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROBES = ("residual", "activation-norm", "update-norm", "weight-norm", "alignment")
COMMAND = ("run", "--rule", "oja+bp", "--task", "mnist-mlp", "--seeds", "20")


def seconds(probes, more):
    """Return the wall time of one command."""
    flags = [*more, *(word for probe in probes for word in ("--probe", probe))]
    with tempfile.TemporaryDirectory() as name:
        places = ["--out", str(Path(name) / "run"), "--store", str(Path(name) / "store")]
        command = [sys.executable, "-m", "plastic_core", *COMMAND, *flags, *places]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begun


def main(rounds, more):
    seconds(PROBES, more)  # what is compiled and cached at first use
    times = {(): [], PROBES: []}
    for number in range(rounds):
        for probes in list(times)[:: -1 if number % 2 else 1]:
            times[probes].append(seconds(probes, more))
        without, measured = times[()][-1], times[PROBES][-1]
        print(
            f"round {number + 1}: {without:.2f} s without, {measured:.2f} s with: ratio "
            f"{measured / without:.3f}",
            flush=True,
        )
    without, measured = (statistics.median(values) for values in times.values())
    print(f"medians: {without:.2f} s, {measured:.2f} s: ratio {measured / without:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
