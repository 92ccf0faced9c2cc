"""Pages of the zoo: each plugin by its specification, and what networks learned by it.

Curves and backends come from docs/zoo/record.json, which is made by
``python -m tests.benchmarks.zoo --no-compiled --write docs/zoo/record.json``.
"""

from __future__ import annotations

import json
import shutil
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
on ``0.1*bp``. Of the backends ``compiled`` was not tried.

.. list-table::
   :header-rows: 1
   :widths: 3 7 3 2

"""


def write_pages(folder: Path) -> None:
    """Write a page for each plugin of the zoo, and one that lists them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    record = json.loads((DOCS / "zoo" / "record.json").read_text(encoding="utf-8"))
    candidates = find_target(str(DOCS / "examples" / "plastic-zoo")).candidates
    samples = max(record["pes"]["learned"]["1"]["step"])
    lines = INDEX.format(samples=samples).splitlines()
    lines += _row("plugin", "what it is", "backends", "accuracy")
    for candidate in candidates:
        measured, name = record[candidate.name], candidate.name
        (folder / f"{name}.rst").write_text("\n".join(_page(candidate, measured, folder)))
        shown = f":doc:`{name}`", candidate.load().spec.summary, measured["backends"]
        lines += _row(*shown, f"{measured['learned']['1']['accuracy'][-1]:.0%}")
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {one.name}" for one in candidates), ""]
    (folder / "index.rst").write_text("\n".join(lines))


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
