"""Files and streams that are not what they should be: one message, no traceback, nothing hangs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plastic_core import PlasticError, RunSpec, Store, run
from plastic_core.cli import execute
from plastic_core.results import result_folder
from tests.processes import plastic

SMALL = {"seeds": 1, "samples": 40, "evaluations": 2, "options": {"sizes": [64, 5, 10]}}
FLAGS = ["--seeds", "1", "--samples", "40", "--evaluations", "2", "--sizes", "64,5,10"]


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


def zero(path):
    path.symlink_to("/dev/zero")


def huge(path):
    with path.open("wb") as file:
        file.truncate(300 * 2**20)


NO_FILES = {
    "a pipe": (fifo, "it is no regular file"),
    "a device": (zero, "it is no regular file"),
    "300 MB": (huge, "it is larger than 64 MB"),
    "a link to itself": (loop, "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["spec.json", "spec.toml"])
def test_a_spec_that_is_no_file(tmp_path, capsys, kind, name):
    make, reason = NO_FILES[kind]
    make(tmp_path / name)
    assert execute(["run", str(tmp_path / name)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"plastic: {tmp_path / name}: ")
    assert reason in message


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_record_a_checkpoint_and_a_cell_that_are_no_files(tmp_path, capsys, kind):
    make, reason = NO_FILES[kind]
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    run(RunSpec(**SMALL), out=out, store=store)
    (cell,) = store.files()
    flags = ["--out", str(out), "--store", str(store.folder)]
    for file, command in (
        (
            cell,
            [
                "run",
                *FLAGS,
                "--reuse",
                "--store",
                str(store.folder),
                "--out",
                str(tmp_path / "new"),
            ],
        ),
        (out / "run.json", ["run", *FLAGS, "--resume", *flags]),
    ):
        file.unlink()
        make(file)
        assert execute(command) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith(f"plastic: {file}: is no ")
        assert reason in message


@pytest.mark.parametrize("kind", ["a pipe", "a link to itself", "a device"])
def test_a_checkpoint_that_is_no_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    with pytest.raises(ZeroDivisionError):
        run(RunSpec(**SMALL), out=tmp_path, on_point=lambda curves: 1 / 0)
    file = tmp_path / "checkpoint.safetensors"
    file.unlink()
    NO_FILES[kind][0](file)
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(**SMALL), out=tmp_path, resume=True)
    assert str(caught.value) == (
        f"{file}: is damaged (it is no regular file); delete it to begin this run anew"
    )


VALUES = {
    '{"rule": "bp", "rule": "oja"}': "it holds the key 'rule' twice",
    '{"samples": ' + "9" * 400 + "}": "it holds a number of 400 digits",
    '{"options": ' + "[" * 300 + "]" * 300 + "}": "it is nested deeper than 64 levels",
    '{"options": ' + "[" * 100_000 + "]" * 100_000 + "}": "it is nested deeper than 64 levels",
    '{"rule": "\\ud800"}': "it holds '\\ud800', which is no text",
    '{"plugins": ["a\\u0000b"]}': "it holds 'a\\x00b', which is no text",
    '{"samples": NaN}': "NaN is no number here",
}


@pytest.mark.parametrize("text", VALUES, ids=VALUES.values())
def test_values_that_no_spec_has(tmp_path, capsys, text):
    file = tmp_path / "spec.json"
    file.write_text(text)
    assert execute(["run", str(file)]) == 2
    assert capsys.readouterr().err == f"plastic: {file}: is not valid JSON: {VALUES[text]}\n"


def test_a_path_with_nul_and_nobodys_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlasticError, match=r"^a\x00b: cannot be written: embedded null byte; "):
        run(RunSpec(**SMALL), out="a\0b")
    assert Store("~nobody_of_that_name").folder == Path("~nobody_of_that_name")


@pytest.mark.parametrize("device", ["hpu", "xpu", "meta", "mps", "cuda:99", "no-device"])
def test_a_device_that_is_not_there(device, capsys):
    assert execute(["run", *FLAGS, "--device", device]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"plastic: device = '{device}': cannot be used here (")
    assert message.endswith(
        "); write cpu, or cuda where PyTorch was installed with it and there is a GPU\n"
    )


CHECKPOINTS = {
    "weights of whole numbers": (
        lambda tensors, values: tensors.update({"weight.1": tensors["weight.1"].int()}),
        "weight.1 is torch.int32 [1, 5, 64]; expected torch.float32 [1, 5, 64]",
    ),
    "complex weights": (
        lambda tensors, values: tensors.update(
            {"weight.1": tensors["weight.1"].to(torch.complex64)}
        ),
        "weight.1 is torch.complex64 [1, 5, 64]; expected torch.float32 [1, 5, 64]",
    ),
    "weights of half precision": (
        lambda tensors, values: tensors.update({"weight.1": tensors["weight.1"].bfloat16()}),
        "weight.1 is torch.bfloat16 [1, 5, 64]; expected torch.float32 [1, 5, 64]",
    ),
    "other weights": (
        lambda tensors, values: tensors.update({"weight.1": tensors["weight.1"][:, :4].clone()}),
        "weight.1 is torch.float32 [1, 4, 64]; expected torch.float32 [1, 5, 64]",
    ),
    "half an evaluation": (
        lambda tensors, values: values.update(done=1.5),
        "done = 1.5; expected a whole number from 0 to 1",
    ),
    "true": (
        lambda tensors, values: values.update(done=True),
        "done = True; expected a whole number from 0 to 1",
    ),
    "negative": (
        lambda tensors, values: values.update(trained=-1),
        "trained = -1; expected a whole number from 0 to 1000000000000000000",
    ),
    "infinite": (
        lambda tensors, values: values.update(train_seconds=float("inf")),
        "Infinity is no number here",
    ),
    "no time": (
        lambda tensors, values: values.update(train_seconds=-1.0),
        "train_seconds = -1.0; expected a number from 0 on",
    ),
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_forged_checkpoint(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    with pytest.raises(ZeroDivisionError):
        run(RunSpec(**SMALL), out=tmp_path, on_point=lambda curves: 1 / 0)
    file = tmp_path / "checkpoint.safetensors"
    tensors = load_file(file)
    numbers = {"done": 1, "train_seconds": 0.1, "trained": 20, "updates": 20, "trained_to": 20}
    change, reason = CHECKPOINTS[damage]
    change(tensors, numbers)
    save_file(tensors, file, {"curves": json.dumps(numbers)})
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(**SMALL), out=tmp_path, resume=True)
    assert str(caught.value) == (f"{file}: is damaged ({reason}); delete it to begin this run anew")


@pytest.mark.parametrize("lacking", ["task", "rules", "versions"])
def test_a_forged_cell_is_damaged(tmp_path, capsys, lacking):
    from plastic_core.results.cell import key_of

    store = Store(tmp_path)
    run(RunSpec(**SMALL), store=store)
    (file,) = store.files()
    stored = json.loads(file.read_text())
    del stored["content"][lacking]
    stored["key"] = key_of(stored["content"])
    file.unlink()
    forged = file.parent / f"{stored['key']}.json"
    forged.write_text(json.dumps(stored))
    assert execute(["store", "verify", "--store", str(tmp_path)]) == 1
    assert f"{forged}: is no cell of a store (" in capsys.readouterr().out
    assert execute(["store", "--store", str(tmp_path)]) == 0
    assert execute(["store", "prune", "--damaged", "--outdated", "--store", str(tmp_path)]) == 0
    assert not forged.exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(RunSpec(**SMALL), out=folder)
    return folder


REPORTS = {
    "a link to something else": (
        lambda folder: (folder / "learning_curve.png").symlink_to("/etc/passwd"),
        "learning_curve.png: cannot be read (it is a link); make it again",
    ),
    "no picture": (
        lambda folder: (folder / "learning_curve.png").write_text("root:x:0:0"),
        "learning_curve.png: cannot be read (it is no PNG picture); make it again",
    ),
    "a pipe": (
        lambda folder: fifo(folder / "learning_curve.png"),
        "learning_curve.png: cannot be read (it is no regular file); make it again",
    ),
}


@pytest.mark.parametrize("damage", REPORTS)
def test_a_report_shows_pictures_alone(finished, tmp_path, capsys, damage):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "learning_curve.png").unlink()
    change, message = REPORTS[damage]
    change(folder)
    assert execute(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == f"plastic: {folder}/{message}\n"
    assert not (tmp_path / "page.html").exists()


def test_a_report_of_a_run_whose_curves_are_cut_off(finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "run")
    curves = folder / "curves.nc"
    curves.write_bytes(curves.read_bytes()[:1000])
    assert execute(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err.startswith(f"plastic: {curves}: cannot be read: ")


def in_a_shell(command, folder):
    return subprocess.run(
        f"{sys.executable} -m plastic_core {command}",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


# What an interpreter does where it finds streams closed.
CLOSED = ["os.close(0); sys.stdin = None", "os.close(1); sys.stdout = None"]
CLOSED += ["os.close(2); sys.stderr = None"]


def test_closed_standard_streams_cost_no_run(tmp_path):
    for name, closed in (("err", CLOSED[2:]), ("all", CLOSED)):
        first = "\n".join(["import os, sys", *closed])
        out = tmp_path / name
        assert plastic("run", *FLAGS, "--out", str(out), first=first).returncode == 0
        assert json.loads((out / "run.json").read_text())["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_a_shell_closes_cost_no_run(tmp_path, closed):
    assert in_a_shell(f"run {' '.join(FLAGS)} --out out {closed}", tmp_path).returncode == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "finished"


def test_a_full_standard_output_is_one_message(tmp_path):
    full = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    out = tmp_path / "full"
    done = plastic("run", *FLAGS, "--out", str(out), "--json", first=full)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "plastic: standard output cannot be written: No space left on device; what the command "
        "made is where it says, or is made by the same command"
    )
    assert json.loads((out / "run.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("more", [[], ["--file"]])
def test_a_folder_that_cannot_be_written_is_explained(tmp_path, monkeypatch, capsys, more):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_text", refuse)  # root may write everywhere
    assert execute(["new-rule", "my-rule", *more]) == 2
    message = capsys.readouterr().err
    assert message.endswith(
        ": cannot be written: Permission denied; allow it, or work in another folder\n"
    )
