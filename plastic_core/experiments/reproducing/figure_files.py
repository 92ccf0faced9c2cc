"""The figures that there are, and the files that they are read from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import product
from typing import Any, Final

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.experiments.reproducing.figure_packages import (
    names_there,
    read_packaged,
    share_arms,
)
from plastic_core.experiments.reproducing.figure_spec import FigureSpec

#: In the order of the paper, and what it argues about without a figure.
FIGURES: Final = (
    "fig1a",
    "fig1b",
    "fig2",
    "fig3",
    "fig4",
    "fig5",
    "fig6",
    "fig6gh",
    "fig7",
    "figS1",
    "tricks",
    "conv",
    "attention",
)

#: Those that are about meta-learned rules, with specifications of their own.
META_FIGURES: Final = ("fig8", "metagrid")

# All of them wherever one is wanted, so that the figures share their networks.
_PROBES: Final = (
    "activation-norm",
    "explained-variance",
    "reconstruction",
    "residual",
    "update-norm",
    "weight-norm",
)

_FOLDER: Final = files(__package__) / "figures"


def read_figure(name: str) -> FigureSpec:
    """Return the specification of a figure, of the paper or of an installed package.

    Raises:
        PlasticError: there is none of that name, or its file is at fault.
    """
    if name in FIGURES:
        return _read_ours(name)
    figure = read_packaged(name)
    if figure is None:
        names = [*FIGURES, *META_FIGURES, *names_there()[0]]
        raise PlasticError(
            f"there is no figure '{name}'{did_you_mean(name, names)}\n  {figures_there()}"
        )
    return figure


def figures_there() -> str:
    """Return what there is, for messages: the names, and a line for each package at fault."""
    names, faults = names_there()
    there = f"there are {listing([*FIGURES, *META_FIGURES, *names])}"
    meta = listing(META_FIGURES)
    return "\n  ".join([f"{there}; 'all' makes those of the paper but {meta}", *faults])


def _read_ours(name: str) -> FigureSpec:
    """Return the stored specification of a figure of the paper, with the networks that it needs."""
    own, shared = _read(name), _read("networks")
    base, grid = shared.pop("base"), {**shared.pop("search"), **own.pop("search", {})}
    if own.pop("probes", False):
        base["probes"] = list(_PROBES)
    else:
        base.pop("settings")
    base |= own.pop("base", {})
    shared |= own.pop("networks", {})
    share_arms(shared)
    needed = {n for p in own["panels"] for n in (p["network"], *p.get("points", ()))}
    own["claims"] = [*own.get("claims", ()), *_compared(own.pop("comparisons", ()))]
    needed |= {c[key] for c in own["claims"] for key in ("network", "against") if key in c}
    networks = {net: arms for net, arms in shared.items() if net in needed}
    for net, arms in own.pop("arms", {}).items():
        networks[net] = {**networks[net], "arms": [*networks[net]["arms"], *arms]}
    return FigureSpec(name=name, base=base, networks=networks, grid=grid, **own)


def _compared(comparisons: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a claim about the accuracy for each network and pair of arms of each comparison."""
    for one in comparisons:
        for network, first, second in product(one["networks"], one["first"], one["second"]):
            yield {
                "text": one["text"].format(network=network, first=first, second=second),
                "measure": "accuracy",
                "network": network,
                "arms": [first, second],
                "direction": one["direction"],
                "family": one["text"],
            }


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
