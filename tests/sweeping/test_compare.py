"""A fair comparison: chosen on one half, reported on the other."""

import itertools
import json

import numpy as np
import pytest
import scipy.stats

from plastic_core import RunSpec, bootstrap_interval, permutation_test, run
from plastic_core.cli import execute

SWEEP = [
    *("sweep", "--rule", "bp", "--rule", "oja+bp", "--grid", "bp=0.001,0.02,0.05"),
    *("--grid", "oja=1e-4,1e-3", "--grid", "activation=softplus,relu", "--seeds", "4"),
    *("--samples", "300", "--sizes", "64,30,10", "--evaluations", "1", "--workers", "0"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    assert execute([*SWEEP, "--store", str(folder / "store"), "--out", str(folder / "sweep")]) == 0
    return folder


def test_theta_is_chosen_on_one_half_and_reported_on_the_other(folders, capsys):
    command = [
        "compare",
        str(folders / "sweep"),
        "--store",
        str(folders / "store"),
        "--workers",
        "0",
    ]
    assert execute([*command, "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    swept = json.loads((folders / "sweep" / "sweep.json").read_text())
    assert json.loads((folders / "sweep" / "compare.json").read_text()) == compared
    rules = [(row["rule"], row["conditions"]["activation"]) for row in compared["rules"]]
    assert rules == list(itertools.product(("bp", "oja+bp"), ("softplus", "relu")))
    last = {}
    for row in compared["rules"]:
        rivals = [
            arm
            for arm in swept["arms"]
            if arm["rule"] == row["rule"]
            and arm["point"]["activation"] == row["conditions"]["activation"]
        ]
        best = max(rivals, key=lambda arm: arm["accuracy"])
        assert row["tried"] == len(rivals) == (3 if row["rule"] == "bp" else 6)
        assert (row["chosen_by"], row["thetas"]) == (best["accuracy"], best["thetas"])
        spec = RunSpec(
            rule=row["rule"],
            settings={name: {"theta": theta} for name, theta in row["thetas"].items()},
            options={"sizes": [64, 30, 10], **row["conditions"]},
            seeds=4,
            samples=300,
            evaluations=1,
        )
        accuracy = run(spec).curves["accuracy"][:, -1].to_numpy()
        last[row["rule"], row["conditions"]["activation"]] = accuracy
        assert row["accuracy"] == pytest.approx(accuracy.mean(), abs=1e-12)
        assert (row["low"], row["high"]) == pytest.approx(bootstrap_interval(accuracy))
    for one, activation in zip(compared["differences"], ("softplus", "relu"), strict=True):
        assert (one["rule"], one["against"], one["seeds"]) == ("oja+bp", "bp", 4)
        difference = last["oja+bp", activation] - last["bp", activation]
        assert one["difference"] == pytest.approx(difference.mean())
        assert (one["low"], one["high"]) == pytest.approx(bootstrap_interval(difference))
        assert one["wins"] == (difference > 0).sum()
        assert one["p"] == permutation_test(difference)
    assert (folders / "sweep" / "heat_map.png").stat().st_size > 10_000


def test_the_tables_name_the_edge_of_the_grid(folders, capsys):
    command = [
        "compare",
        str(folders / "sweep"),
        "--store",
        str(folders / "store"),
        "--workers",
        "0",
    ]
    assert execute(command) == 0
    out = capsys.readouterr().out
    assert "is best at the edge of its grid (" in out
    assert "paired by seed; p: two-sided permutation test of the signs" in out


@pytest.mark.parametrize("n", [4, 9, 20])
def test_the_permutation_test_equals_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    ours = permutation_test(differences)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=100_000, rng=0
    ).pvalue
    assert ours == pytest.approx(theirs, abs=1e-12 if 2**n <= 10_000 else 0.02)


BAD = {
    "no sweep": (None, "No such file or directory"),
    "no JSON": ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    "a list": ("[]", "list indices must be integers or slices, not str"),
    "no spec": ("{}", "'spec'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_folder_that_is_no_sweep_is_explained(tmp_path, capsys, fault):
    text, reason = BAD[fault]
    file = tmp_path / "sweep.json"
    if text is not None:
        file.write_text(text)
    assert execute(["compare", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {file}: is no record of a sweep ({reason.format(file=file)}); name a folder that "
        "'plastic sweep' wrote\n"
    )


def test_a_sweep_on_the_reporting_half_is_refused(tmp_path, capsys):
    where = ["--store", str(tmp_path / "store")]
    small = ["--samples", "20", "--seeds", "1", "--sizes", "64,5,10", "--workers", "0"]
    sweep = ["sweep", "--rule", "bp", "--eval-half", "report", *small, *where]
    assert execute([*sweep, "--out", str(tmp_path / "sweep")]) == 0
    capsys.readouterr()
    assert execute(["compare", str(tmp_path / "sweep"), "--workers", "0", *where]) == 2
    assert capsys.readouterr().err.endswith(
        "plastic: the sweep was evaluated on the half 'report', and theta must be chosen on the other: "
        "sweep with --eval-half choose, the default\n"
    )
