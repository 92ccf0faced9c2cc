"""What is claimed by figures of installed packages, and by what it is judged."""

import json

import pytest

from plastic_core import RunSpec, run
from plastic_core.cli import execute
from tests.figures.packaged import FIGURE, flags

STAGED = FIGURE.replace("samples = 100\n", 'stages = ["80 on 0-4", "80 on 5-9"]\n').replace(
    '["weight-norm"]', '["weight-norm", "part-accuracy"]'
)


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
    figure = STAGED + claim
    brought({"parts.toml": figure, "none.toml": figure.replace('part = "0-4"', 'part = "0-5"')})
    assert execute(["reproduce", "zoo/parts", "--json", *flags(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/parts"]
    (verdict,) = report["claims"][-1]["verdicts"]
    stages = ("80 on 0-4", "80 on 5-9")
    spec = RunSpec(rule="0.1*bp", stages=stages, seeds=3, options={"sizes": "64,12,10"})
    alone = run(spec.model_copy(update={"probes": ("part-accuracy",)})).curves["part_accuracy"]
    assert verdict["first"] == pytest.approx(float(alone[:, -1, 0].mean()))
    before = len(list((tmp_path / "store").rglob("*.json")))
    assert execute(["reproduce", "zoo/none", "--samples", "90", *flags(tmp_path)]) == 2
    assert "there is no part '0-5'; there are 0-4, 5-9" in capsys.readouterr().err
    assert len(list((tmp_path / "store").rglob("*.json"))) == before > 0  # nothing was trained


def test_forgetting_is_a_measure_and_a_panel_is_of_a_part(brought, tmp_path, capsys):
    claim = """
[[panels]]
kind = "curves"
variable = "part_accuracy"
part = "0-4"
network = "small"

[[panels]]
kind = "course"
variable = "part_accuracy"
part = "5-9"
network = "small"

[[claims]]
text = "What was learned first is forgotten"
measure = "forgetting"
network = "small"
arms = ["BP"]
value = 0.1
direction = "above"
"""
    figure = STAGED + claim
    figure = figure.replace('label = "mine"', 'label = "mine $a_$"').replace(
        '["mine"]', '["mine $a_$"]'
    )
    faults = {
        'variable = "part_accuracy"\npart = "0-4"': 'variable = "part_accuracy"',
        'part = "0-4"': 'part = "7"',
    }
    files = {f"f{i}.toml": figure.replace(*one) for i, one in enumerate(faults.items())}
    brought({"parts.toml": figure, **files})
    assert execute(["reproduce", "zoo/parts", "--json", *flags(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)["zoo/parts"]
    (verdict,) = report["claims"][-1]["verdicts"]
    spec = RunSpec(
        rule="0.1*bp",
        stages=("80 on 0-4", "80 on 5-9"),
        seeds=3,
        evaluations=2,
        options={"sizes": "64,12,10"},
        probes=("part-accuracy",),
    )
    first = run(spec).curves["part_accuracy"].values[:, :, 0]
    assert verdict["first"] == pytest.approx(float((first.max(1) - first[:, -1]).mean()))
    assert (tmp_path / "out" / "zoo" / "parts" / "parts.png").stat().st_size > 10_000
    for name, message in (
        ("f0", "which are not those of kind 'curves'; name one by part"),
        ("f1", "there is no part '7'; there are 0-4, 5-9"),
    ):
        assert execute(["reproduce", f"zoo/{name}", *flags(tmp_path)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        'rule = "fa", thetas = { fa = 0.1 }',
        'rule = "bp+oja", thetas = { bp = 0.1, oja = 1e-4 }',
        'rule = "bp", thetas = { bp = 0.1 }, transforms = ["momentum"]',
        'rule = "bp", thetas = { bp = 0.1 }, settings = { bp = { layers = "2" } }',
        'rule = "bp", settings = { bp = { theta = "cosine(0.1)" } }',
        'rule = "bp", thetas = { bp = 0.1 }, base = { readout = "knn" }',
        'rule = "bp", thetas = { bp = 0.1 }, options = { bias = true }',
        'rule = "bp", thetas = { bp = 0.1 }, options = { loss = "squared-error" }',
    ],
)
def test_batch_normalisation_is_of_plain_networks_alone(brought, tmp_path, capsys, more):
    arm = f'{{ label = "normed", {more}, batch_size = 10, batch_norm = true }},\n]'
    figure = FIGURE.replace('probes = ["weight-norm"]\n', "")
    figure = "[[claims]]".join(figure.split("[[claims]]")[:2])  # without those of the probe
    brought({"normed.toml": figure.replace("\n]\n", f"\n    {arm}\n")})
    assert execute(["reproduce", "zoo/normed", *flags(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "plastic: zoo/normed, small, normed: batch_norm: autograd trains it, by rule bp with one "
        "theta, on a dense network without biases, residual connections and layer normalisation, "
        "with cross-entropy; leave out everything else, probes, transforms, schedules, stages and "
        "readouts too\n"
    )
