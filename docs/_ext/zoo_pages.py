"""Pages of the zoo: each plugin by its specification, and what networks learned by it.

Curves and backends come from docs/zoo/record.json, which is made by
``python -m tests.benchmarks.zoo --write docs/zoo/record.json``, and verdicts from
docs/zoo/claims.json, made by ``python -m tests.benchmarks.zoo_claims docs/zoo``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plastic_pages import described
from sphinx.application import Sphinx

from plastic_core.testing.targets import Candidate, find_target

DOCS = Path(__file__).resolve().parents[1]

INDEX = """The zoo
=======

Published rules and transforms in a package of their own, to be used and to be copied:
``plastic install docs/examples/plastic-zoo``, from the repository. Each is one file, compared with its
equation written out as loops. Accuracy is that of two networks with one hidden layer of 40 units after
{samples:,} of the digits that come with scikit-learn, at the thetas of the package's tests, chosen roughly
and not searched; where the text of a rule has ``+ 0.02*bp``, backpropagation learns beside it, and the transforms act
on ``0.1*bp``. The backend ``compiled`` was not tried for rules that settle, which take it minutes. *Lines* are those of code, *loops* the greatest
difference from the equation as loops; all 28 pass the conformance kit. Seconds are those of {processor} with 2
cores. Twelve of the plugins have
:doc:`claims <claims>` that ``plastic reproduce zoo/NAME`` judges.

.. list-table::
   :header-rows: 1
   :widths: 4 7 2 3 2 3 4

"""


CLAIMS = """Claims of the zoo
=================

What was published about rules of the zoo, judged by networks of a size that takes seconds: the first arm less
the second (or less a number), paired by seed, with 98% bootstrap intervals; Holm's correction where a claim is
judged several times. Thetas come from a search on the half of the held-out points that is not shown, but in
the two figures of *Weights that are held*, of which one has the best of three strengths there, and in *What Oja's
rule alone makes*. The published figures are of larger networks and more training, so that they stand beside ours as
statements. Seconds are those of the whole figure, from an empty store, on {processor} with 2 cores. A claim that
does not hold here says so.

Four figures are not as they were tried first. With weights drawn as usual one unit of ``krotov-hopfield`` wins
every input (18%), so that they are drawn large, as in its source. The theta of ``softhebb`` is the greatest of its
grid at which none of ten networks loses all activity, and its readout is fitted to as many points as it learned
from; fitted to 500 the networks have 76.0%, those with random weights 74.1%. Of four hidden layers under Dale's law
none learned (10%), which is no close question, so that there are two. Ranking the connections of MNIST takes minutes,
so that ``rewiring`` has the digits.
"""


def write_pages(folder: Path) -> None:
    """Write a page for each plugin of the zoo, and one that lists them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    record = json.loads((DOCS / "zoo" / "record.json").read_text(encoding="utf-8"))
    candidates = find_target(str(DOCS / "examples" / "plastic-zoo")).candidates
    samples = max(record["pes"]["learned"]["1"]["step"])
    lines = INDEX.format(samples=samples, processor=_processors(record)).splitlines()
    claims = json.loads((DOCS / "zoo" / "claims.json").read_text(encoding="utf-8"))
    lines += _row("plugin", "what it is", "lines", "backends", "loops", "accuracy", "claims")
    for candidate in candidates:
        measured, name = record[candidate.name], candidate.name
        (folder / f"{name}.rst").write_text("\n".join(_page(candidate, measured, folder)))
        one = measured["learned"]["1"]
        lines += _row(
            f":doc:`{name}`",
            candidate.load().spec.summary,
            str(measured["lines"]),
            measured["backends"],
            f"{measured['from_loops']:.0e}",
            f"{one['accuracy'][-1]:.0%} in {one['seconds']:.1f} s",
            ", ".join(_verdicts(claims, name)) or "none",
        )
    pages = ["claims", *(one.name for one in candidates)]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {page}" for page in pages), ""]
    (folder / "index.rst").write_text("\n".join(lines))
    (folder / "claims.rst").write_text("\n".join(_claims(claims, folder)))


def _processors(measured: dict[str, Any]) -> str:
    """Return what the figures were measured on."""
    return ", ".join(sorted({one["processor"] for one in measured.values()}))


def _verdicts(claims: dict[str, Any], plugin: str) -> Iterator[str]:
    """Yield the figures that claim something of a plugin, with the verdicts."""
    for name, figure in claims.items():
        judged = [
            one
            for claim in figure["claims"]
            for one in claim["verdicts"]
            if plugin in claim["plugins"]
        ]
        if judged:
            held = sum(one.get("corrected", one["verdict"]) == "holds" for one in judged)
            yield f":ref:`{name.partition('/')[2]} <{_label(name)}>` {held} of {len(judged)} hold"


def _label(figure: str) -> str:
    return f"claim-{figure.replace('/', '-')}"


def _claims(claims: dict[str, Any], folder: Path) -> list[str]:
    """Return the page of all claims; the pictures are copied beside it."""
    lines = [*CLAIMS.format(processor=_processors(claims)).splitlines(), ""]
    for name, figure in claims.items():
        short = name.partition("/")[2]
        shutil.copy(DOCS / "zoo" / f"{short}.png", folder / f"{short}.png")
        title = figure["title"]
        lines += [f".. _{_label(name)}:", "", title, "-" * len(title), ""]
        lines += [
            f"``plastic reproduce {name}``: {figure['task']}, {figure['seeds']} seeds, {figure['seconds']:.0f} s.",
            "",
        ]
        lines += [f".. image:: {short}.png", "   :width: 70%", ""]
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 5 5 4 2", ""]
        lines += _row("claim", "published", "here", "verdict")
        for claim in figure["claims"]:
            published = f"{claim['published']} ({claim['source']})" if claim["published"] else ""
            here = [_here(one) for one in claim["verdicts"]]
            verdicts = [one.get("corrected", one["verdict"]) for one in claim["verdicts"]]
            what = f"{claim['text']}: {' against '.join(claim['arms'])}"
            lines += _row(what, published, "; ".join(here), ", ".join(dict.fromkeys(verdicts)))
        lines.append("")
    return lines


def _here(one: dict[str, Any]) -> str:
    layer = f"layer {one['layer']}: " if "layer" in one else ""
    return (
        f"{layer}{one['first']:.3g} and {one['second']:.3g}, difference "
        f"{one['first'] - one['second']:+.2g} [{one['low']:.2g}, {one['high']:.2g}]"
    )


def _page(candidate: Candidate, measured: dict[str, Any], folder: Path) -> list[str]:
    name, learned = candidate.name, measured["learned"]
    title = [f".. _zoo-{name}:", "", name, "=" * len(name), ""]
    draw(learned, folder / f"{name}.svg")
    one = learned["1"]
    options = ", ".join(f"{key} {value}" for key, value in one["options"].items())
    chosen = one["rule"] if candidate.kind == "rule" else f"{one['rule']} and this transform"
    lines = ["What networks learned", "---------------------", "", f".. figure:: {name}.svg", ""]
    lines += [f"   Two networks each on the digits, by ``{chosen}``{options and f' ({options})'}."]
    lines += [
        f"   It runs on {measured['backends']}, and is {measured['lines']} lines of code.",
        "",
    ]
    return [*title, *described(candidate.kind, candidate.load()), *lines]


def draw(learned: dict[str, Any], path: Path) -> None:
    """Draw the accuracy of networks of 1 and of 3 hidden layers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.4), layout="constrained")
    axes = figure.subplots()
    for depth, style in (("1", "-"), ("3", "--")):
        one, layers = learned[depth], "hidden layer" if depth == "1" else "hidden layers"
        axes.plot(one["step"], one["accuracy"], style, label=f"{depth} {layers}")
    axes.set(xlabel="training points", ylabel="accuracy", ylim=(0, 1))
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _row(*cells: str) -> list[str]:
    return [f"   {'* -' if not i else '  -'} {cell}" for i, cell in enumerate(cells)]


def setup(app: Sphinx) -> dict[str, bool]:
    write_pages(Path(app.srcdir) / "auto_zoo")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
