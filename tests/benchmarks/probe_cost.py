"""What probes cost: a run with and without them in turns, and the time that it spends in them.

    python tests/benchmarks/probe_cost.py [ROUNDS [FLAGS OF plastic run ...]]

All built-in probes but those that measure at the last point alone. The ratio of two runs is at the
mercy of what else the machine does; the share that one run spends in its probes is not. Needs
MNIST (PLASTIC_DATA_DIR).
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROBES = ("residual", "activation-norm", "update-norm", "weight-norm", "alignment")
COMMAND = ("run", "--rule", "oja+bp", "--task", "mnist-mlp", "--seeds", "20")

# runs a command with the time in probes added up; all that it needs is imported within the clock
TIMED = """
import sys, time
spent = [0.0]
def timed(function):
    def call(*arguments):
        begun = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent[0] += time.perf_counter() - begun
    return call
from plastic_core.cli import execute
from plastic_core.probing import Probing
Probing.__init__, Probing.measure = timed(Probing.__init__), timed(Probing.measure)
code = execute(sys.argv[1:])
print(spent[0], file=sys.stderr)
sys.exit(code)
"""


def seconds(probes, more):
    """Return the wall time of one run, and the part of it that was spent in probes."""
    flags = [*more, *(word for probe in probes for word in ("--probe", probe))]
    with tempfile.TemporaryDirectory() as name:
        places = ["--out", str(Path(name) / "run"), "--store", str(Path(name) / "store")]
        command = [sys.executable, "-c", TIMED, *COMMAND, *flags, *places]
        begun = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - begun
    return wall, float(done.stderr.split()[-1])


def main(rounds, more):
    seconds(PROBES, more)  # what is compiled and cached at first use
    ratios, shares = [], []
    for number in range(rounds):
        order = [(), PROBES][:: -1 if number % 2 else 1]
        times = {bool(probes): seconds(probes, more) for probes in order}
        without, (wall, spent) = times[False][0], times[True]
        ratios.append(wall / without)
        shares.append(spent / (wall - spent))
        print(
            f"round {number + 1}: {without:.2f} s without, {wall:.2f} s with: ratio "
            f"{ratios[-1]:.3f}; {spent:.2f} s in probes, {shares[-1]:.1%} of all the rest",
            flush=True,
        )
    print(f"medians: ratio {statistics.median(ratios):.3f}, {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
