"""What probes cost: the wall time of a run with and without them, in turns, and their ratio.

    python tests/benchmarks/probe_cost.py [ROUNDS [FLAGS OF plastic run ...]]

On a machine with other work, --threads 1 and the processor time say more. Needs MNIST (PLASTIC_DATA_DIR). All probes but those that measure at the last point alone.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROBES = ("residual", "activation-norm", "update-norm", "weight-norm", "alignment")
COMMAND = ("run", "--rule", "oja+bp", "--task", "mnist-mlp", "--seeds", "20")


def seconds(probes, folder, more):
    """Return wall and processor time of one run."""
    flags = [*more, *(word for probe in probes for word in ("--probe", probe))]
    command = [sys.executable, "-m", "plastic_core", *COMMAND, *flags]
    command += ["--out", str(folder / "run"), "--store", str(folder / "store")]
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system
    return wall, used - before.children_user - before.children_system


def main(rounds, more):
    with tempfile.TemporaryDirectory() as name:
        seconds(PROBES, Path(name), more)  # what is compiled and cached at first use
    times = {"without": [], "with": []}
    for number in range(rounds):
        order = [("without", ()), ("with", PROBES)]
        for label, probes in order[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory() as name:
                times[label].append(seconds(probes, Path(name), more))
        (wall, used), (wall_0, used_0) = times["with"][-1], times["without"][-1]
        print(
            f"round {number + 1}: wall {wall_0:6.2f} s without, {wall:6.2f} s with, "
            f"ratio {wall / wall_0:.3f}; processor {used_0:6.2f} s, {used:6.2f} s, "
            f"ratio {used / used_0:.3f}",
            flush=True,
        )
    for kind, index in (("wall", 0), ("processor", 1)):
        middle = {label: statistics.median(t[index] for t in times[label]) for label in times}
        print(f"{kind}: ratio of the medians {middle['with'] / middle['without']:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
