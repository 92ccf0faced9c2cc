"""Points that come after training: other files for the same networks, and other targets."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plastic_core import PlasticError, RunSpec, load, run
from plastic_core.api import Dataset, NetworkOptions, NetworkSpec, Task, TaskSpec
from plastic_core.cli import execute
from tests.data.points import QUICK, SMALL

POINTS = np.random.default_rng(0)


def table(count=60):
    x = POINTS.normal(size=(count, 3))
    frame = pd.DataFrame(x, columns=list("abc"))
    return frame.assign(kind=np.where(x[:, 0] > 0, 2, 1), one=x[:, 0] + x[:, 1], two=x.sum(1))


def written(frame, tmp_path, name="table.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return str(tmp_path / name)


def command(capsys, *words):
    assert execute([*words]) == 0, capsys.readouterr().err
    return " ".join(capsys.readouterr().out.split())


def trained(tmp_path, capsys, frame, *flags):
    folder = str(tmp_path / "run")
    file = written(frame, tmp_path)
    command(capsys, "run", "--data", file, *flags, *SMALL, "--rule", "0.05*bp", "--out", folder)
    return folder


def test_labels_are_the_same_as_whole_numbers_and_as_fractions(tmp_path, capsys):
    frame = table()[["a", "b", "c", "kind"]]
    folder = trained(tmp_path, capsys, frame.astype({"kind": float}), "--target", "kind")
    said = command(capsys, "predict", folder, written(frame, tmp_path, "whole.csv"))
    assert "labels that the networks do not know" not in said
    networks = load(folder).networks
    assert networks.labels == ("1", "2")
    right = (networks.predict(frame) == frame["kind"].astype(str).to_numpy()).mean()
    assert f"accuracy at the 60 points of the file: {100 * right:.2f}%" in said


def test_numbers_that_are_there_are_compared(tmp_path, capsys):
    frame = table()[["a", "b", "c", "two"]]
    folder = trained(tmp_path, capsys, frame, "--target", "two")
    said = command(capsys, "predict", folder, str(tmp_path / "table.csv"))
    y, found = frame["two"].to_numpy(), load(folder).networks.predict(frame).mean(0)[:, 0]
    r2 = 1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert f"r2 at the 60 points of the file: {r2:.3f}" in said
    frame.loc[3:, "two"] = np.nan
    said = command(capsys, "predict", folder, written(frame, tmp_path, "new.csv"))
    assert "nothing is compared, for two is empty in some points" in said


def test_the_array_that_was_learned_is_compared(tmp_path, capsys):
    x = table()[["a", "b", "c"]].to_numpy()
    z = (x[:, 0] > 0).astype(int)
    np.savez(tmp_path / "three.npz", X=x, y=1 - z, z=z)
    folder, file = str(tmp_path / "run"), str(tmp_path / "three.npz")
    flags = ["--target", "z", *SMALL, "--rule", "0.1*bp"]
    command(capsys, "run", "--data", file, *flags, "--out", folder)
    right = (load(folder).networks.predict(x) == z).mean()
    said = command(capsys, "predict", folder, file)
    assert f"accuracy at the 60 points of the file: {100 * right:.2f}%" in said
    np.savez(tmp_path / "new.npz", X=x, y=1 - z)
    assert "accuracy" not in command(capsys, "predict", folder, str(tmp_path / "new.npz"))


def test_points_that_are_held_out_are_answered_too(tmp_path, capsys):
    x = table()[["a", "b", "c"]].to_numpy()
    y = (x[:, 0] > 0).astype(int)
    file = str(tmp_path / "split.npz")
    np.savez(file, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    folder = str(tmp_path / "run")
    command(capsys, "run", "--data", file, *SMALL, "--out", folder)
    said = command(capsys, "predict", folder, file)
    assert "the 40 points to train on come first, then the 20 that are held out" in said
    assert len(pd.read_csv(tmp_path / "run" / "predictions.csv")) == 60


def pictures(folder, rows=6, columns=8, count=5):
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for place in range(count):
            pixels = POINTS.integers(0, 256, (rows, columns), np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{place}.png")


def test_folders_of_images_that_are_split_already(tmp_path, capsys):
    pictures(tmp_path / "all" / "train", count=8)
    pictures(tmp_path / "all" / "test", count=4)
    result = run(RunSpec(data=str(tmp_path / "all"), **QUICK), out=tmp_path / "run")
    assert f"held out are the images in {tmp_path / 'all' / 'test'}" in result.summary["notes"]
    assert "evaluations use 4 points" in " ".join(result.summary["notes"])
    said = command(capsys, "predict", str(tmp_path / "run"), str(tmp_path / "all"))
    assert "the 16 points to train on come first, then the 8 that are held out" in said
    names = pd.read_csv(tmp_path / "run" / "predictions.csv")["file"]
    assert names[0] == "train/cat/0.png"
    assert names[23] == "test/dog/3.png"


def test_images_of_another_shape_are_refused(tmp_path, capsys):
    pictures(tmp_path / "train")
    pictures(tmp_path / "new", 8, 6)
    run(RunSpec(data=str(tmp_path / "train"), **QUICK), out=tmp_path / "run")
    assert execute(["predict", str(tmp_path / "run"), str(tmp_path / "new")]) == 2
    assert (
        f"{tmp_path / 'new'}: X holds points of 8 x 6, and these networks were trained on 6 x 8"
        in capsys.readouterr().err
    )
    networks = load(tmp_path / "run").networks
    assert networks.predict(np.zeros((2, 48))).shape == (2, 2)
    assert networks.predict(np.zeros((2, 1, 6, 8))).shape == (2, 2)
    with pytest.raises(PlasticError, match="points of 4 x 12"):
        networks.outputs(np.zeros((2, 4, 12)))


def test_numbers_are_scaled_before_they_are_rounded():
    time = 1.7e9 + np.arange(80.0)
    y = (np.arange(80) > 40).astype(int)
    spec = RunSpec(rule="0.1*bp", task="own-data", scale="standard", seeds=2, samples=2000)
    result = run(spec, data=(time[:, None], y))
    assert result.summary["score"]["mean"] > 0.9
    assert not any("constant" in note for note in result.summary["notes"])


def test_columns_of_a_frame_are_known_by_name():
    frame = table()
    x, y = frame[["a", "b", "c"]], frame["kind"].to_numpy()
    networks = run(RunSpec(task="own-data", **QUICK), data=(x, y)).networks
    np.testing.assert_array_equal(networks.outputs(x[["c", "a", "b"]]), networks.outputs(x))
    numbered = x.set_axis([0, 1, 2], axis=1)
    networks = run(RunSpec(target="kind", **QUICK), data=numbered.assign(kind=y)).networks
    assert networks.plan.spec.task == "own-data"
    np.testing.assert_array_equal(networks.outputs(numbered[[2, 0, 1]]), networks.outputs(numbered))


def notes_of(**fields):
    return " ".join(run(RunSpec(**QUICK, **fields)).summary["notes"])


def test_other_targets_begin_anew(tmp_path):
    file, parent = written(table(), tmp_path), str(tmp_path / "parent")
    columns = table()[["a", "b", "c", "one", "two"]]
    columns.to_csv(file, index=False)
    spec = RunSpec(data=file, target="one,two", scale="standard", **QUICK)
    run(spec, out=parent)
    on = {"data": file, "parent": parent, "scale": "standard"}
    anew = "begun anew, being of something else that is predicted"
    assert anew not in notes_of(target="one,two", **on)
    assert anew in notes_of(target="two,one", **on)
    other = run(RunSpec(target="two,one", **QUICK, **on)).record["data"]["target_scaling"]
    first = run(spec).record["data"]["target_scaling"]
    assert other["shift"] == first["shift"][::-1]
    columns.drop(columns="one").assign(kind=columns["two"] > 0).drop(columns="two").to_csv(
        tmp_path / "classes.csv", index=False
    )
    on["data"] = str(tmp_path / "classes.csv")
    assert anew in notes_of(target="kind", **on)
    del on["scale"]
    assert f"the points of {parent} were scaled, and these are not as they were" in notes_of(
        target="kind", **on
    )


def test_a_task_that_was_edited_is_loaded_again():
    def task(answer):
        class Mine(Task[NetworkOptions]):
            spec = TaskSpec(name="mine", summary="points", options=NetworkOptions)

            def load(self, data_dir, options):
                x = np.random.default_rng(0).random((40, 3), np.float32)
                y = np.full(40, answer)
                return Dataset(x, y, x, y, classes=2)

            def network(self, options):
                return NetworkSpec(sizes=(3, 2))

        return Mine

    digests = {
        run(RunSpec(task="mine", **QUICK), tasks=[task(one)]).record["sources"]["data"]
        for one in (0, 1)
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([None, "a", "b", "a"] * 5, "data: y of point 1 is None, no label; expected one of each"),
        ([[1], [2, 3]] * 8, "data: y holds no array of labels"),
        (pd.array(["a", None] * 8, "string"), "data: y of point 2 is <NA>, no label"),
    ],
)
def test_labels_that_are_none(y, message):
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(task="own-data", **QUICK), data=(np.random.rand(len(y), 3), y))
    assert str(caught.value).startswith(message)


def test_a_line_with_more_fields(tmp_path, capsys):
    file = tmp_path / "shifted.csv"
    file.write_text("a,b,y\n   \n1,2,3,0\n" + "4,5,6,1\n" * 9)
    assert execute(["run", "--data", str(file), "--target", "y"]) == 2
    assert "is no table: the first line names 3 columns, and another line has more" in (
        capsys.readouterr().err
    )


def test_the_next_commands_name_the_plugins(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from plastic_rules.bp import Backprop\nclass Mine(Backprop):\n    pass\n")
    out = str(tmp_path / "run")
    said = command(
        capsys, "run", "--plugin", str(file), "--rule", "0.1*mine:bp", *SMALL, "--out", out
    )
    assert f"plastic predict {out} FILE --plugin {file}" in said
