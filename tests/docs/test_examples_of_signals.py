"""The examples of the page about signals run as they stand."""

import re
from pathlib import Path
from textwrap import indent

import pytest
import torch

from plastic_core import RunSpec, api, run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "signals.md"
BLOCKS = re.findall(r"```python\n(# in the spec: .*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_runs(block):
    first, body = block.split("\n", 1)
    names = {**vars(api), "torch": torch}
    given = eval(f"dict({first.partition(': ')[2]})", names)
    rule = {"theta": api.Theta(default=1e-3), "modifies": "forward", **given}
    if "plastic_local_update" not in body:
        body += "\n@hookimpl\ndef plastic_local_update(self, s):\n"
        body += "    return -outer(s.error, s.pre)\n"
        rule["reads"] = {*rule["reads"], "error", "pre"}
    names["spec"] = api.RuleSpec(
        name="shown", summary="of a page", equation="x", reference="none", **rule
    )
    exec("class Shown(Rule):\n    spec = spec\n" + indent(body, "    "), names)
    also = " + 0.01*bp" if "noise" in rule else ""
    spec = RunSpec(
        task="digits-mlp",
        rule=f"shown{also}",
        options={
            "net": "dense 20 / dense 20",
            "loss": "squared-error",
            "activation": "tanh",
        },
        seeds=2,
        samples=40,
        evaluations=2,
    )
    task = {"task": "delayed-xor", "options": {"hidden": 9, "steps": 6}}
    for changes in ({}, task) if "by_time" in body else ({},):
        result = run(spec.model_copy(update=changes), rules=[names["Shown"]])
        assert all(w.isfinite().all() for w in result.parameters.weights)


def test_there_are_examples():
    assert len(BLOCKS) == 8
