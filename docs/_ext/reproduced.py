"""``.. reproduced:: fig1b`` shows a figure as it was reproduced: picture, command and verdicts.

What it shows comes from docs/reproduced/NAME.json and NAME.png, which
``python docs/_ext/reproduced.py FOLDER`` takes over from what ``plastic reproduce`` left in FOLDER.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from plastic_core.experiments.reproducing.description import describe, with_correction

HERE = Path(__file__).resolve().parents[1] / "reproduced"

# Of the report, what the pages show; nothing of the machine that it was made on.
KEPT = ("figure", "title", "command", "small", "base", "claims")

# Colours and width of a picture; a page is read, not printed.
COLOURS, WIDTH = 256, 900


def lines_of(name: str) -> list[str]:
    """Return the picture, the command and the table of verdicts, as reStructuredText."""
    report = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    lines = [f".. image:: /reproduced/{name}.png", f"   :alt: {report['title']}", ""]
    lines += [".. code-block:: console", "", f"   $ {report['command']}", ""]
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 8 5 5 2 2", ""]
    lines += _row("claim", "compared", "difference, 98% interval", "wins", "verdict")
    for claim in report["claims"]:
        for one in claim["verdicts"]:
            layer = f", layer {one['layer']}" if "layer" in one else ""
            measured = "no pair has this number"
            if one["n"]:
                measured = (
                    f"{one['first']:.4g} - {one['second']:.4g} = {one['difference']:+.4g}, "
                    f"{one['low']:+.4g} to {one['high']:+.4g}"
                )
            lines += _row(
                claim["text"],
                f"{describe(claim)}{layer}",
                measured,
                f"{one.get('wins', 0)} of {one['n']}",
                with_correction(one),
            )
    return [*lines, ""]


def _row(*cells: str) -> list[str]:
    first, *rest = (cell.replace("|", "\\|").replace("*", "\\*") for cell in cells)
    return [f"   * - {first}", *(f"     - {cell}" for cell in rest)]


def take_over(folder: Path) -> None:
    """Take over what ``plastic reproduce`` left in the folders of a folder."""
    from PIL import Image

    for file in sorted(folder.glob("*/claims.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        name = report["figure"]
        kept = {key: report[key] for key in KEPT if key in report}
        text = json.dumps(kept, indent=1) + "\n"
        (HERE / f"{name}.json").write_text(text, encoding="utf-8")
        picture = Image.open(file.parent / f"{name}.png").convert("RGB")
        if picture.width > WIDTH:
            size = (WIDTH, round(picture.height * WIDTH / picture.width))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        picture.quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)


def setup(app: Any) -> dict[str, bool]:
    from docutils import nodes
    from docutils.statemachine import StringList
    from sphinx.util.docutils import SphinxDirective

    class Reproduced(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            (name,) = self.arguments
            self.env.note_dependency(str(HERE / f"{name}.json"))
            node = nodes.container()
            lines = StringList(lines_of(name), f"reproduced {name}")
            self.state.nested_parse(lines, 0, node)
            return node.children

    app.add_directive("reproduced", Reproduced)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    take_over(Path(sys.argv[1]))
