"""From a file with data of one's own to predictions, in three commands."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine

from plastic_core import load
from plastic_core.cli import execute
from tests.processes import plastic

SMALL = ["--seeds", "3", "--samples", "500", "--evaluations", "2"]


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """Return a folder with wine.csv, and a run on it."""
    folder = tmp_path_factory.mktemp("wine")
    found = load_wine(as_frame=True)
    table = found.data.assign(cultivar=found.target_names[found.target])
    table.to_csv(folder / "wine.csv", index=False)
    command = ["run", "--data", str(folder / "wine.csv"), "--target", "cultivar"]
    command += ["--scale", "standard", *SMALL, "--out", str(folder / "run")]
    assert execute(command) == 0
    return folder, table


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory):
    """Return a folder with a table of numbers to predict, and a run on it."""
    folder = tmp_path_factory.mktemp("diabetes")
    table = load_diabetes(as_frame=True).frame
    table.to_csv(folder / "diabetes.csv", index=False)
    command = ["run", "--data", str(folder / "diabetes.csv"), "--target", "target"]
    command += ["--target-kind", "numbers", "--scale", "standard", *SMALL]
    assert execute([*command, "--out", str(folder / "run")]) == 0
    return folder, table


def test_columns_are_found_by_name_and_the_target_may_be_absent(wine, capsys):
    folder, table = wine
    shuffled = table.drop(columns="cultivar").iloc[::-1, ::-1]
    shuffled.to_csv(folder / "new.csv", index=False)
    assert execute(["predict", str(folder / "run"), str(folder / "new.csv")]) == 0
    made = folder / "run" / "predictions.csv"
    assert capsys.readouterr().out == f"178 points, written to {made}\n"
    found = pd.read_csv(made)
    assert [*found] == ["prediction", "agreement", "seed_0", "seed_1", "seed_2"]
    networks = load(folder / "run").networks
    answers = networks.predict(table.drop(columns="cultivar").to_numpy())
    for row, seed in enumerate(networks.seeds):
        assert found[f"seed_{seed}"].tolist()[::-1] == answers[row].tolist()
    assert (found["prediction"][::-1].to_numpy() == table["cultivar"]).mean() > 0.9
    votes = (answers == found["prediction"].to_numpy()[::-1]).mean(0)
    assert np.allclose(found["agreement"][::-1], votes)


def test_where_the_file_says_it_they_are_compared(wine, capsys):
    folder, table = wine
    command = ["predict", str(folder / "run"), str(folder / "wine.csv"), "--seed", "1"]
    assert execute([*command, "--to", str(folder / "one.parquet")]) == 0
    found = pd.read_parquet(folder / "one.parquet")
    assert [*found] == ["prediction"]
    right = 100 * (found["prediction"] == table["cultivar"]).mean()
    assert f"accuracy at the 178 points of the file: {right:.2f}%\n" in capsys.readouterr().out


def test_numbers_have_the_scale_that_they_had(diabetes):
    folder, table = diabetes
    assert execute(["predict", str(folder / "run"), str(folder / "diabetes.csv")]) == 0
    found = pd.read_csv(folder / "run" / "predictions.csv")
    assert [*found] == ["prediction", "std", "seed_0", "seed_1", "seed_2"]
    assert np.corrcoef(found["prediction"], table["target"])[0, 1] > 0.6
    assert abs(found["prediction"].mean() - table["target"].mean()) < 25
    each = found[["seed_0", "seed_1", "seed_2"]]
    assert np.allclose(each.mean(axis=1), found["prediction"])
    assert np.allclose(each.std(axis=1, ddof=0), found["std"])


@pytest.mark.parametrize("fixture", ["wine", "diabetes"])
def test_what_is_exported_scales_too(request, fixture):
    folder, table = request.getfixturevalue(fixture)
    networks = load(folder / "run").networks
    points = table.drop(columns=["cultivar", "target"], errors="ignore").to_numpy(np.float32)
    expected = (networks.predict if fixture == "diabetes" else networks.outputs)(points, seed=2)
    file = folder / "exported.pt2"
    assert execute(["export", str(folder / "run"), "--seed", "2", "--to", str(file)]) == 0
    found = torch.export.load(file).module()(torch.from_numpy(points)).numpy()
    assert np.allclose(found, expected, rtol=1e-6, atol=0)
    assert (
        execute(["export", str(folder / "run"), "--seed", "2", "--to", f"{folder}/x.safetensors"])
        == 0
    )
    names = {}
    exec((folder / "x.py").read_text(), names)
    module = names["load"](folder / "x.safetensors")
    assert np.array_equal(module(torch.from_numpy(points)).numpy(), found)
    assert names["LABELS"] == networks.labels


def test_one_learns_on_with_other_points(wine):
    folder, table = wine
    table.iloc[::2].to_csv(folder / "half.csv", index=False)
    command = ["run", "--from", str(folder / "run"), "--data", str(folder / "half.csv")]
    assert execute([*command, "--out", str(folder / "second")]) == 0
    record = load(folder / "second").record
    assert record["spec"]["target"] == ["cultivar"]
    assert record["parent"]["samples"] == 500
    assert any("begun with the networks of" in note for note in record["result"]["notes"])


REFUSED = {
    "a column that is missing": (
        ["ash"],
        {},
        "{file}: there is no column 'ash'; the columns are ",
    ),
    "a number that is missing": ([], {"hue": np.nan}, "{file}: 178 numbers are missing or not"),
    "text": ([], {"hue": "red"}, "{file}: the column 'hue' holds text, first 'red' in point 1"),
}


@pytest.mark.parametrize(("without", "changed", "said"), REFUSED.values(), ids=REFUSED)
def test_files_that_do_not_fit(wine, tmp_path, without, changed, said):
    folder, table = wine
    file = tmp_path / "new.csv"
    table.drop(columns=without).assign(**changed).to_csv(file, index=False)
    made = plastic("predict", str(folder / "run"), str(file))
    assert made.returncode == 2
    assert made.stderr.startswith("plastic: " + said.format(file=file)[: 60 + len(str(file))])
    assert len(made.stderr.splitlines()) == 1


def test_tables_that_cannot_be_written(wine, capsys):
    folder, _ = wine
    data = str(folder / "wine.csv")
    assert execute(["predict", str(folder / "run"), data, "--to", "x.txt"]) == 2
    assert capsys.readouterr().err == "plastic: --to x.txt: expected a table, .csv or .parquet\n"
    assert execute(["predict", str(folder / "run"), data, "--to", "no/such/x.csv"]) == 2
    assert capsys.readouterr().err == (
        "plastic: no/such/x.csv: cannot be written: No such file or directory; free or allow it, "
        "or write --to another file\n"
    )
    assert execute(["predict", str(folder), data]) == 2
    assert "run.json: is no record of a run" in capsys.readouterr().err


def test_sequences_are_predicted_in_python(tmp_path, capsys):
    small = ["--seeds", "1", "--samples", "50", "--evaluations", "1", "--eval-samples", "20"]
    assert (
        execute(["run", "--task", "delayed-xor", "--rule", "bp", *small, "--out", f"{tmp_path}/a"])
        == 0
    )
    result = load(tmp_path / "a")
    network = result.networks.plan.network
    points = np.zeros((4, network.steps, network.inputs))
    assert result.networks.predict(points).shape == (1, 4, network.steps)
    np.save(tmp_path / "x.npy", points)
    assert execute(["predict", str(tmp_path / "a"), str(tmp_path / "x.npy")]) == 2
    assert "these networks answer at each step, which is no table" in capsys.readouterr().err
