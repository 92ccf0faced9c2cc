"""``plastic bench``: the speed of each backend on this machine, beside its peers."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.cli.flag_types import Switch

app = App(name="bench", help="Measure the backends on this machine, beside PyTorch and JAX.")


@app.default
def bench(
    *,
    rounds: int = 9,
    scale: float = 1.0,
    only: str | None = None,
    json: Switch = False,
) -> None:
    """Measure updates per CPU-second of each backend, beside PyTorch and JAX, on one core.

    Args:
        rounds: turns of each contender; the medians are shown.
        scale: factor on the number of updates in each turn.
        only: contenders, separated by commas: native, compiled, eager, floor, autograd, jax.
        json: print one JSON object on standard output, everything else on standard error.
    """
    if rounds < 1:
        raise PlasticError(f"rounds = {rounds}: expected at least 1")
    if not 0 < scale <= 1000:
        raise PlasticError(f"scale = {scale:g}: expected a number above 0 and up to 1000")
    from plastic_core.bench.measurement import CONTENDERS
    from plastic_core.bench.measurement import bench as measure
    from plastic_core.cli.output import print_json
    from plastic_core.results.environment import environment

    chosen = tuple(only.split(",")) if only else CONTENDERS
    for name in chosen:
        if name not in CONTENDERS:
            raise PlasticError(
                f"only = {name}: there is no such contender{did_you_mean(name, CONTENDERS)}\n"
                f"  there are {listing(CONTENDERS)}"
            )
    result = measure(rounds, scale, chosen, lambda text: print(text, file=sys.stderr))
    result["environment"] = environment(1)
    if json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from plastic_core.cli.output import print_table

    rows = []
    for row in result["cases"]:
        ratio = row["native_is_times_as_fast"]
        span = f"{row['least_ratio']:.2f} to {row['greatest_ratio']:.2f}" if ratio else ""
        rows.append(
            (
                row["layers"],
                row["replicas"],
                "Equation 9" if "fa" in row["rule"] else "oja+bp",
                row["contender"],
                f"{row['updates_per_cpu_second']:,.0f}",
                f"{ratio:.2f}" if ratio else "",
                span,
                f"{row['setup_seconds']:.1f}",
            )
        )
    print_table(
        (
            "layers",
            "networks",
            "rule",
            "contender",
            "updates/CPU s",
            "native is x",
            "rounds",
            "setup s",
        ),
        rows,
    )
    print("floor: four readings of all weights from the cache")
    for line in _native_lines(result.get("native", {})):
        print(line)
    for note in result["notes"]:
        print(f"note: {note}")
    print(", ".join(f"{key} {value}" for key, value in result["environment"].items()))


def _native_lines(native: dict[str, Any]) -> list[str]:
    lines = []
    for depth, ratio in (native.get("two_cores") or {}).items():
        lines.append(
            f"native, 20 networks, {depth}: two cores are {ratio:.2f} times as fast as one"
        )
    if native.get("memory"):
        measured = native["memory"]
        lines.append(
            f"native, {measured['replicas']} networks, 10 layers: memory grows by "
            f"{measured['grown'] / 1e6:,.0f} MB, {measured['grown'] / measured['weights']:.2f} "
            "times the weights"
        )
    if native:
        lines.append(f"native: compiled in {native['compile_seconds']:.1f} s where it is not known")
    return lines
