"""The claims of docs/examples/plastic-zoo, judged anew from an empty store, for the pages of the zoo.

Run by hand where the zoo is installed: ``python -m tests.benchmarks.zoo_claims docs/zoo``. Writes
``claims.json`` and a picture of each figure into the folder.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from plastic_core import Store, reproduce
from plastic_core.experiments.reproducing.figure_files import read_figure
from plastic_core.experiments.reproducing.figure_packages import names_there
from plastic_core.plan.expression import parse

KEPT = ("verdict", "layer", "first", "second", "low", "high", "n", "wins", "left_out", "corrected")


def plugins_of(figure, claim):
    """Return the rules and transforms of the first arm that are of the zoo."""
    arm = next(a for a in figure.networks[claim["network"]].arms if a.label == claim["arms"][0])
    return [*(term.name for term in parse(arm.rule)), *arm.transforms]


def main():
    target = Path(sys.argv[1])
    found = {}
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place) / "store")
        for name in (one for one in names_there()[0] if one.startswith("zoo/")):
            figure = read_figure(name)
            report = reproduce(name, out=Path(place), store=store, workers=0)
            claims = [
                {
                    **{key: claim.get(key) for key in ("text", "arms", "published", "source")},
                    "plugins": plugins_of(figure, claim),
                    "verdicts": [
                        {key: one[key] for key in KEPT if key in one} for one in claim["verdicts"]
                    ],
                }
                for claim in report["claims"]
            ]
            found[name] = {
                "title": report["title"],
                "processor": report["environment"]["processor"],
                "seconds": round(report["seconds"], 1),
                "task": report["base"]["task"],
                "seeds": report["base"]["seeds"],
                "claims": claims,
            }
            short = name.partition("/")[2]
            shutil.copy(Path(place) / name / f"{short}.png", target / f"{short}.png")
            print(name, found[name]["seconds"], "s", flush=True)
    (target / "claims.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
