"""From a file with data of one's own to predictions, in three commands."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine

from plastic_core import PlasticError, load
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


def test_a_data_frame_is_read_by_name(wine):
    folder, table = wine
    networks = load(folder / "run").networks
    points = table.drop(columns="cultivar")
    expected = networks.predict(points.to_numpy())
    assert np.array_equal(networks.predict(table.iloc[:, ::-1]), expected)
    with pytest.raises(
        PlasticError, match=r"^data: there is no column 'ash', which these networks"
    ):
        networks.predict(points.drop(columns="ash"))


def test_other_columns_may_hold_anything(wine, capsys):
    folder, table = wine
    table.assign(name="a wine").to_csv(folder / "named.csv", index=False)
    assert execute(["predict", str(folder / "run"), str(folder / "named.csv")]) == 0
    assert "left out, for the networks do not know them: name\n" in capsys.readouterr().out


def test_labels_are_compared_whatever_they_are_written_as(tmp_path, capsys):
    found = load_wine(as_frame=True)
    found.frame.to_csv(tmp_path / "wine.csv", index=False)
    command = ["run", "--data", f"{tmp_path}/wine.csv", "--target", "target", "--scale", "unit"]
    assert execute([*command, *SMALL, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    said = []
    for labels in (found.target, found.target.astype(float), found.target.replace(2, 7)):
        found.data.assign(target=labels).to_csv(tmp_path / "new.csv", index=False)
        assert execute(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) == 0
        said.append(capsys.readouterr().out.splitlines()[:-1])
    assert said[0] == said[1] != said[2]
    assert said[2][-1] == "labels that the networks do not know: 7"


def test_images_are_named(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    source = np.random.default_rng(0)
    for kind, light in (("dark", 60), ("light", 200)):
        for number in range(10):
            file = tmp_path / "photographs" / kind / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = source.integers(light - 40, light + 40, (6, 6)).astype(np.uint8)
            Image.fromarray(pixels).save(file)
    assert execute(["run", "--data", "photographs", *SMALL, "--out", "run"]) == 0
    assert execute(["predict", "run", "photographs/light", "--to", "light.csv"]) == 0
    found = pd.read_csv("light.csv")
    assert sorted(found["file"]) == [f"{number}.png" for number in range(10)]
    assert (found["prediction"] == "light").mean() > 0.8


def test_what_learns_on_is_scaled_and_ordered_as_before(wine, tmp_path):
    folder, table = wine
    hot = table[table["alcohol"] > 12.5].iloc[:, ::-1]
    hot.to_csv(tmp_path / "hot.csv", index=False)
    command = ["run", "--from", str(folder / "run"), "--data", str(tmp_path / "hot.csv")]
    assert execute([*command, "--rule", "0*bp", "--out", str(tmp_path / "second")]) == 0
    first, second = load(folder / "run"), load(tmp_path / "second")
    assert second.record["data"]["scaling"] == first.record["data"]["scaling"]
    points = table.drop(columns="cultivar")
    assert np.array_equal(second.networks.predict(points), first.networks.predict(points))
    notes = second.record["result"]["notes"]
    assert f"the columns are those of {folder / 'run'}, in its order" in notes
    assert f"scaled as the points of {folder / 'run'} were" in notes


def test_nothing_is_written_over(wine, capsys):
    folder, _ = wine
    data = str(folder / "wine.csv")
    assert execute(["predict", str(folder / "run"), data, "--to", data]) == 2
    assert capsys.readouterr().err.endswith("is the file with the points; write another name\n")
    weights = str(folder / "run" / "weights.safetensors")
    assert execute(["export", str(folder / "run"), "--seed", "0", "--to", weights]) == 2
    assert capsys.readouterr().err.endswith("holds all networks of the run; write another name\n")


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
