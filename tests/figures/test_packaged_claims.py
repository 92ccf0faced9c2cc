"""What is claimed by figures of installed packages, and by what it is judged."""

import json

import pytest

from plastic_core import RunSpec, run
from plastic_core.cli import execute
from tests.figures.packaged import FIGURE, flags


def test_what_arms_are_judged_by_is_said_and_they_are_of_one_length(brought, tmp_path, capsys):
    judged = FIGURE.replace(', base = { readout = "knn" }', "")
    longer = 'base = { stages = ["mine: 50", "mine: 60"] }'
    uneven = FIGURE.replace("samples = 100\n", "").replace('base = { readout = "knn" }', longer)
    uneven = uneven.replace('rule = "mine", ', "")
    brought({"judged.toml": judged, "uneven.toml": uneven})
    assert execute(["reproduce", "zoo/judged", *flags(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: no rule of 'mine' is told what is right; the score is that of a readout" in said
    assert "note: other than these, bp, bp+mine are judged by the networks' own outputs" in said
    assert execute(["reproduce", "zoo/uneven", *flags(tmp_path)]) == 2
    assert (
        "zoo/uneven: mine has 110 training points and BP, mine 5000, and arms are paired; give "
        "all as many, by samples in the base" in capsys.readouterr().err
    )


def test_a_claim_about_a_part_of_the_data(brought, tmp_path, capsys):
    claim = """
[[claims]]
text = "The first classes are forgotten"
measure = "part_accuracy"
part = "0-4"
network = "small"
arms = ["BP"]
value = 0.5
direction = "below"
"""
    figure = FIGURE.replace("samples = 100\n", 'stages = ["80 on 0-4", "80 on 5-9"]\n')
    figure = figure.replace('["weight-norm"]', '["weight-norm", "part-accuracy"]') + claim
    brought({"parts.toml": figure, "none.toml": figure.replace('part = "0-4"', 'part = "0-5"')})
    assert execute(["reproduce", "zoo/parts", "--json", *flags(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/parts"]
    (verdict,) = report["claims"][-1]["verdicts"]
    stages = ("80 on 0-4", "80 on 5-9")
    spec = RunSpec(rule="0.1*bp", stages=stages, seeds=3, options={"sizes": "64,12,10"})
    alone = run(spec.model_copy(update={"probes": ("part-accuracy",)})).curves["part_accuracy"]
    assert verdict["first"] == pytest.approx(float(alone[:, -1, 0].mean()))
    assert execute(["reproduce", "zoo/none", *flags(tmp_path)]) == 2
    assert "there is no part '0-5'; there are 0-4, 5-9" in capsys.readouterr().err
