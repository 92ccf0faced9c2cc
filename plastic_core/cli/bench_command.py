"""``plastic bench``: the speed of each backend on this machine, beside its peers."""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from typing import Any

from cyclopts import App

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.cli.flag_types import Switch, Whole

app = App(name="bench", help="Measure the backends on this machine, beside PyTorch and JAX.")


@app.default
def bench(
    *,
    rounds: Whole = 9,
    scale: float = 1.0,
    only: str | None = None,
    json: Switch = False,
) -> None:
    """Measure updates per CPU-second of each backend, beside PyTorch and JAX, on one core.

    All of it takes many minutes, in which torch.compile and JAX compile for long; a short look is
    --only native,eager --rounds 3 --scale 0.1.

    Args:
        rounds: turns of each contender; the medians are shown.
        scale: factor on the number of updates in each turn.
        only: contenders, separated by commas: native, compiled, eager, autograd, jax.
        json: print one JSON object on standard output, everything else on standard error.
    """
    if rounds < 1:
        raise PlasticError(f"rounds = {rounds}: expected at least 1")
    if not 0 < scale <= 1000:
        raise PlasticError(f"scale = {scale:g}: expected a number above 0 and up to 1000")
    from plastic_core.bench.measurement import CONTENDERS
    from plastic_core.bench.measurement import bench as measure
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.results.environment import environment

    chosen = CONTENDERS if only is None else tuple(only.split(","))
    for name in chosen:
        if name not in CONTENDERS:
            raise PlasticError(
                f"only = {name}: there is no such contender{did_you_mean(name, CONTENDERS)}\n"
                f"  there are {listing(CONTENDERS)}"
            )
    with interrupted_with("nothing was written; the same command measures anew"):
        result = measure(rounds, scale, chosen, lambda text: print(text, file=sys.stderr))
    if not result["cases"]:
        raise PlasticError("nothing could be measured: " + "; ".join(result["notes"]))
    result["environment"] = environment(1)
    if json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from plastic_core.cli.output import print_table

    def case(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["layers"], row["replicas"], row["rule"]

    for (layers, replicas, rule), rows in groupby(result["cases"], case):
        name = "Equation 9" if "fa" in rule else "oja+bp"
        print(f"{layers} layers, {replicas} network{'s' * (replicas > 1)}, {name}")
        print_table(
            ("contender", "updates/CPU s", "native is x", "rounds", "flop", "readings"),
            [_cells(row) for row in rows],
        )
        print()
    for line in (*_limit_lines(result["limits"]), *_native_lines(result.get("native", {}))):
        print(line)
    for note in result["notes"]:
        print(f"note: {note}")
    made_with = ", ".join(f"{key} {value}" for key, value in result["environment"].items())
    print(textwrap.fill(made_with, 80, break_long_words=False))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    ratio = row["native_is_times_as_fast"]
    shares = (row["share_of_flop"], row["share_of_bytes"])
    return (
        row["contender"],
        f"{row['updates_per_cpu_second']:,.0f}",
        f"{ratio:.2f}" if ratio else "",
        f"{row['least_ratio']:.2f} to {row['greatest_ratio']:.2f}" if ratio else "",
        *("" if share is None else f"{share:.0%}" for share in shares),
    )


def _limit_lines(limits: dict[str, Any] | None) -> list[str]:
    if limits is None:
        return []
    read = ", ".join(f"{rate / 1e9:.0f}" for rate in limits["bytes_per_second"])
    caches = ", ".join(f"{size >> 10:,}" for size in limits["caches"])
    return [
        f"this core: {limits['flop_per_second'] / 1e9:.0f} Gflop/s; reads {read} GB/s from caches "
        f"of {caches} KB",
        "flop: share of its arithmetic; readings: of the cache that holds the weights, if each",
        "were read twice an update (what reads them less often may have more than all)",
    ]


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
