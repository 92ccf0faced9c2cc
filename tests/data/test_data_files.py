"""Data in files: what is read, scaled, recorded and said."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes

from plastic_core import PlasticError, RunSpec, run
from plastic_core.cli import execute
from plastic_core.training.data_file import read_table
from tests.data.points import QUICK, WINE, arrays, recorded, split_of


def test_a_table_is_learned(wine, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--target", "target", "--scale", "standard", "--rule", "bp", "--seeds", "5"]
    found = recorded(capsys, "run", "--data", wine, *flags, "--out", str(out))
    assert found["task"] == "own-data"
    assert found["accuracy"]["mean"] > 0.9
    record = json.loads((out / "run.json").read_text())
    assert record["network"]["sizes"] == [13, 50, 50, 3]
    assert record["classes"] == ["barbera", "barolo", "grignolino"]
    assert record["data"]["columns"] == [*WINE.columns[:-1]]
    assert record["data"]["digest"] == record["sources"]["data"]
    assert (record["data"]["file"], record["data"]["target"]) == (wine, ["target"])
    arrays = WINE.drop(columns="target").to_numpy(), WINE["target"].to_numpy()
    spec = {**record["spec"], "data": ""}
    assert run(RunSpec(**spec), data=arrays).summary["accuracy"] == found["accuracy"]
    again = run(RunSpec.from_file(out / "run.json"))
    assert again.summary["accuracy"] == found["accuracy"]


@pytest.mark.parametrize("way", ["unit", "standard"])
def test_scaling_is_of_the_training_points(wine, way):
    spec = RunSpec(data=wine, target=("target",), scale=way, **QUICK)
    scaling = run(spec).record["data"]["scaling"]
    train, _ = split_of(WINE.drop(columns="target").to_numpy().astype(np.float32).astype(float))
    shift = train.min(0) if way == "unit" else train.mean(0)
    spread = train.max(0) - train.min(0) if way == "unit" else train.std(0)
    assert scaling["way"] == way
    np.testing.assert_allclose(scaling["shift"], shift, rtol=1e-6)
    np.testing.assert_allclose(scaling["factor"], 1 / spread, rtol=1e-6)
    scaled = ((WINE.drop(columns="target").to_numpy() - shift) / spread, WINE["target"].to_numpy())
    alone = run(RunSpec(task="own-data", dtype="float64", **QUICK), data=scaled)
    same = run(spec.model_copy(update={"dtype": "float64"}))
    np.testing.assert_allclose(same.curves["loss"], alone.curves["loss"], rtol=1e-4)


def test_images_and_sequences_are_scaled_alike():
    source = np.random.default_rng(0)
    x = source.random((60, 4, 3)) * np.array([1, 10, 100])
    labels = np.arange(60) % 2
    train, _ = split_of(x.astype(np.float32).astype(float))
    spec = RunSpec(task="own-data", scale="standard", **QUICK)
    scaling = run(spec, data=(x, labels)).record["data"]["scaling"]
    np.testing.assert_allclose(
        [scaling["shift"][0], 1 / scaling["factor"][0]], [train.mean(), train.std()], rtol=1e-6
    )
    steps = RunSpec(
        task="delayed-xor", scale="standard", options={"hidden": 5, "steps": 4}, **QUICK
    )
    y = np.tile(np.arange(4) % 2, (60, 1))
    scaling = run(steps, data=(x, y)).record["data"]["scaling"]
    np.testing.assert_allclose(scaling["shift"], train.mean((0, 1)), rtol=1e-6)


def test_the_data_of_a_task_are_scaled():
    plain, scaled = (run(RunSpec(scale=way, **QUICK)) for way in ("none", "standard"))
    assert "data" not in plain.record
    assert len(scaled.record["data"]["scaling"]["shift"]) == 1
    assert plain.record["sources"]["data"] != scaled.record["sources"]["data"]


def test_points_that_are_held_out_already_are_kept(tmp_path):
    x, y = arrays()
    file = tmp_path / "split.npz"
    np.savez(file, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    spec = RunSpec(data=str(file), scale="standard", eval_samples=7, **QUICK)
    result = run(spec)
    scaling = result.record["data"]["scaling"]
    np.testing.assert_allclose(scaling["shift"], x[:60].astype(np.float32).mean(0), rtol=1e-5)
    whole = tmp_path / "whole.npz"
    np.savez(whole, inputs=x, labels=y)
    assert (
        run(spec.model_copy(update={"data": str(whole)})).record["data"]["digest"]
        != result.record["data"]["digest"]
    )
    both = read_table(str(file))
    assert [len(part) for part in (both.inputs, both.held_out[0])] == [60, 20]


def test_arrays_in_files_are_those_handed_over(tmp_path):
    x, y = arrays()
    x = x.reshape(80, 2, 2)
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savez_compressed(tmp_path / "both.npz", X=x, kind=y)
    wanted = run(RunSpec(task="own-data", **QUICK), data=(x, y)).record["sources"]["data"]
    for name, target in (("X.npy", "y.npy"), ("both.npz", "kind")):
        spec = RunSpec(data=str(tmp_path / name), target=(target,), **QUICK)
        assert run(spec).record["sources"]["data"] == wanted


def test_parquet_and_csv_are_the_same(wine, tmp_path):
    WINE.to_parquet(tmp_path / "wine.parquet", index=True)
    WINE.set_index(np.random.default_rng(0).permutation(len(WINE))).to_parquet(
        tmp_path / "rows.parquet"
    )
    spec = RunSpec(data=wine, target=("target",), **QUICK)
    records = [
        run(spec.model_copy(update={"data": str(tmp_path / name)})).record
        for name in ("wine.csv", "wine.parquet", "rows.parquet")
    ]
    assert len({record["sources"]["data"] for record in records}) == 1
    assert "the rows' own labels, __index_level_0__, were left out" in records[2]["notes"]


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    WINE.to_parquet(tmp_path / "wine.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(data=str(tmp_path / "wine.parquet"), target=("target",)))
    assert str(caught.value) == (
        f"{tmp_path}/wine.parquet: Parquet needs pyarrow, which is not installed: pip install "
        "'plastic-learning[parquet]', or write the table as .csv"
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_folder_of_images(tmp_path, mode):
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (20, 9, 8, {"L": 1, "RGB": 3, "RGBA": 4}[mode]), np.uint8)
    for place, image in enumerate(images):
        folder = tmp_path / "images" / ("dark" if place % 2 else "bright")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze(), mode).save(folder / f"{place:02}.png")
    (tmp_path / "images" / "dark" / "Thumbs.db").write_text("no image")
    spec = RunSpec(data=str(tmp_path / "images"), options={"net": "conv 3 3x3 / pool 2"}, **QUICK)
    found = run(spec)
    pixels = (images[..., :3].transpose(0, 3, 1, 2) / 255).astype(np.float32)
    pixels = pixels[:, 0] if mode == "L" else pixels
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    labels = np.repeat(["bright", "dark"], 10)
    alone = run(
        spec.model_copy(update={"data": "", "task": "own-data"}), data=(pixels[order], labels)
    )
    assert found.record["sources"]["data"] == alone.record["sources"]["data"]
    assert found.curves.equals(alone.curves)
    assert found.record["network"]["image"] == [1 if mode == "L" else 3, 9, 8]
    notes = found.record["notes"]
    assert "1 files are no images, and were left out: dark/Thumbs.db, ..." in notes
    said = "images of mode RGBA are read as red, green and blue, without transparency"
    assert (said in notes) == (mode == "RGBA")


def test_numbers_of_two_columns_are_predicted_and_scaled(tmp_path):
    x, _ = arrays()
    frame = pd.DataFrame(x, columns=[*"abcd"]).assign(
        total=lambda f: 100 * (f.a + f.b), other=lambda f: f.c - f.d
    )
    frame.to_csv(tmp_path / "numbers.csv", index=False)
    spec = RunSpec(
        rule="0.05*bp",
        data=str(tmp_path / "numbers.csv"),
        target="total,other",
        scale="standard",
        seeds=2,
        samples=3000,
    )
    assert spec.target == ("total", "other")
    result = run(spec)
    assert result.summary["score"]["name"] == "r2"
    assert result.summary["score"]["mean"] > 0.8
    train, _ = split_of(frame[["total", "other"]].to_numpy().astype(np.float32).astype(float))
    targets = result.record["data"]["target_scaling"]
    np.testing.assert_allclose(targets["shift"], train.mean(0), rtol=1e-6)
    np.testing.assert_allclose(targets["factor"], 1 / train.std(0), rtol=1e-6)


def test_whole_numbers_are_amounts_where_that_is_said(tmp_path):
    frame = load_diabetes(as_frame=True).frame
    frame.to_csv(tmp_path / "diabetes.csv", index=False)
    spec = RunSpec(data=str(tmp_path / "diabetes.csv"), target=("target",), scale="unit", **QUICK)
    numbers = run(spec.model_copy(update={"target_kind": "numbers"}))
    assert numbers.record["network"]["sizes"][-1] == 1
    assert "r2" in numbers.curves
    classes = run(spec)
    assert "accuracy" in classes.curves
    assert (
        "y holds whole numbers, 214 different ones, which are taken for classes; where they are "
        "amounts, write --target-kind numbers"
    ) in classes.record["notes"]


def test_what_is_odd_is_said(tmp_path):
    x = np.random.default_rng(0).random((80, 2))
    frame = pd.DataFrame({"a": x[:, 0], "same": 1, "b": x[:, 1]})
    frame["kind"] = np.where(np.arange(80) < 75, "often", "seldom")
    frame.to_csv(tmp_path / "odd.csv", index=False)
    for scale in ("none", "standard"):
        spec = RunSpec(data=str(tmp_path / "odd.csv"), target=("kind",), scale=scale, **QUICK)
        notes = run(spec).record["notes"]
        constant = (
            "constant in all training points, so that nothing is learned of them: the column same"
        )
        assert constant in notes
        train, _ = split_of(frame["kind"].to_numpy())
        often, seldom = ((train == kind).sum() for kind in ("often", "seldom"))
        assert (
            f"the classes differ in size: {often} training points are of often, and {seldom} of "
            "seldom"
        ) in notes


def test_the_task_without_data_and_a_target_without_data(tmp_path, capsys):
    assert execute(["run", "--task", "own-data", "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err == (
        "plastic: own-data: has no data of its own; give --data FILE and --target NAME, or in "
        "Python run(spec, data=(X, y)); or use --task digits-mlp\n"
    )
    assert execute(["run", "--target", "a", "--out", str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == (
        "plastic: target: is for data of your own, and those of a task say what is predicted; give "
        "--data FILE\n"
    )
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(data="file.csv"), data=arrays())
    assert str(caught.value) == (
        "data: are handed over, and the spec names the file file.csv too; give one"
    )


def test_columns_of_another_file_are_ordered_as_recorded(tmp_path):
    frame = WINE.drop(columns="target")
    frame[frame.columns[::-1]].assign(more=1).to_csv(tmp_path / "new.csv", index=False)
    found = read_table(str(tmp_path / "new.csv"), ("target",))
    assert found.labels is None
    np.testing.assert_array_equal(found.ordered([*frame.columns]), frame.to_numpy())
    with pytest.raises(PlasticError) as caught:
        found.ordered(["alcohol", "ashes"])
    assert str(caught.value).startswith(
        "there is no column 'ashes'; did you mean 'ash'?; the columns are "
    )


def test_what_was_scaled_is_brought_back():
    from plastic_core.results.scaling import Scaling

    x = np.random.default_rng(0).random((9, 3)) * [1, 20, 0]
    for way in ("unit", "standard"):
        scaling = Scaling.fitted(x, way, 3)
        again = Scaling.model_validate_json(scaling.model_dump_json())
        assert (scaling.apply(x)[:, 2] == 0).all()
        np.testing.assert_allclose(again.undo(scaling.apply(x)), x, atol=1e-5)
