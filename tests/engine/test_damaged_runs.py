"""Corrupt, truncated, foreign and malicious run folders: one clear error each, and no code run."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file

from plastic_core import RunSpec, run
from plastic_core.cli import execute
from plastic_core.results import result_folder

SPEC = RunSpec(seeds=2, samples=30, evaluations=3, options={"sizes": [64, 10, 10]})
COMMAND = ["run", "--seeds", "2", "--samples", "30", "--evaluations", "3", "--sizes", "64,10,10"]


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(SPEC, out=folder)
    return folder


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Return the folder of a run that was stopped after its first checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "started"

    def stop(curves):
        raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
        with pytest.raises(StoppedError):
            run(SPEC, out=folder, on_point=stop)
    return folder


class Payload:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


def torch_pickle():
    out = io.BytesIO()
    torch.save({"weight.1": Payload()}, out)
    return out.getvalue()


def changed(**changes):
    def change(content):
        return json.dumps({**json.loads(content), **changes}).encode()

    return change


def of_result(**changes):
    def change(content):
        whole = json.loads(content)
        whole["result"].update(changes)
        return json.dumps(whole).encode()

    return change


RECORDS = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "zeros": lambda content: bytes(len(content)),
    "a pickle": lambda content: pickle.dumps(Payload()),
    "a list": lambda content: b"[1]",
    "nested too deeply": lambda content: b"[" * 100_000,
    "an unknown state": changed(state="__import__('os')"),
    "no spec": changed(spec=None),
    "no result": changed(result=None),
    "a pickle in the result": changed(result=pickle.dumps(Payload()).hex()),
    "a result without accuracy": of_result(accuracy=None),
    "accuracy in words": of_result(accuracy={"mean": "high", "low": 0, "high": 1, "per_seed": []}),
    "diverged in words": of_result(diverged=["all"]),
    "somebody else's file": lambda content: b'{"name": "package", "version": "1.0.0"}',
}

CURVES = {
    "empty": lambda content: b"",
    # zeros at the end are padding, which nobody misses
    "truncated": lambda content: content.rstrip(b"\0")[: len(content) // 10],
    "a header alone": lambda content: content[:512],
    "a pickle": lambda content: pickle.dumps(Payload()),
    "text": lambda content: b"seed,step,accuracy",
    "missing": None,
}

CHECKPOINTS = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "a pickle": lambda content: pickle.dumps(Payload()),
    "a pickle of torch": lambda content: torch_pickle(),
    "a header of 2 GB": lambda content: (2**31).to_bytes(8, "little") + content[8:],
    "zeros": lambda content: bytes(len(content)),
}


def damage(folder, to, name, change):
    shutil.copytree(folder, to)
    file = to / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    return file


def error_of_resuming(folder, capsys):
    assert execute([*COMMAND, "--out", str(folder), "--resume"]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("kind", RECORDS)
def test_a_damaged_record_is_explained(finished, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    file = damage(finished, tmp_path / "run", "run.json", RECORDS[kind])
    error = error_of_resuming(tmp_path / "run", capsys)
    assert error.startswith(f"plastic: {file}: is no record of a run (")
    assert error.endswith("); move the folder away, or give another --out\n")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", CURVES)
def test_damaged_curves_are_explained(finished, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    file = damage(finished, tmp_path / "run", "curves.nc", CURVES[kind])
    error = error_of_resuming(tmp_path / "run", capsys)
    assert error.startswith(f"plastic: {file}: cannot be read: ")
    assert error.endswith("; run again with another --out\n")
    assert not (tmp_path / "ran").exists()


def test_curves_of_something_else_are_explained(finished, tmp_path, capsys):
    file = damage(finished, tmp_path / "run", "curves.nc", None)
    xr.Dataset({"accuracy": ("year", np.zeros(3)), "loss": ("year", np.zeros(3))}).to_netcdf(file)
    assert error_of_resuming(tmp_path / "run", capsys) == (
        f"plastic: {file}: cannot be read: accuracy is over ('year',); run again with another --out\n"
    )


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_damaged_checkpoint_is_explained(started, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    file = damage(started, tmp_path / "run", "checkpoint.safetensors", CHECKPOINTS[kind])
    error = error_of_resuming(tmp_path / "run", capsys)
    assert f"plastic: {file}: is damaged (" in error
    assert error.endswith("); delete it to begin this run anew\n")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("tensors", "numbers", "reason"),
    [
        ({}, {"done": 10**9}, "done = 1000000000; expected a whole number from 0 to 2"),
        ({}, {"done": "all"}, "done = 'all'; expected a whole number from 0 to 2"),
        ({}, [], "list indices must be integers or slices, not str"),
        ({"weight.1": torch.zeros(1)}, {"done": 1}, "weight.1 is torch.float32 [1]; expected torch.float32 [2, 10, 64]"),
        ({"weight.1": None}, {"done": 1}, "'weight.1'"),
        ({"curves.loss": torch.zeros(5)}, {"done": 1}, "curves.loss is torch.float32 [5]; expected torch.float64 [2, 3]"),
    ],
)  # fmt: skip
def test_a_changed_checkpoint_is_explained(started, tmp_path, capsys, tensors, numbers, reason):
    file = damage(started, tmp_path / "run", "checkpoint.safetensors", lambda content: content)
    changed = {k: v for k, v in {**load_file(file), **tensors}.items() if v is not None}
    if isinstance(numbers, dict):
        counted = dict.fromkeys(("trained", "updates", "trained_to"), 1)
        numbers = {"train_seconds": 0.1, **counted, **numbers}
    save_file(changed, file, {"curves": json.dumps(numbers)})
    assert error_of_resuming(tmp_path / "run", capsys).endswith(
        f"plastic: {file}: is damaged ({reason}); delete it to begin this run anew\n"
    )


def test_code_that_a_record_names_is_run_only_where_the_user_gives_it(
    finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("import pathlib; pathlib.Path('ran').touch()\n")

    def with_plugin(content):
        whole = json.loads(content)
        for spec in (whole["spec"], whole["asked"]):
            spec["plugins"] = ["theirs.py"]
        return json.dumps(whole).encode()

    file = damage(finished, tmp_path / "run", "run.json", with_plugin)
    message = (
        f"plastic: {file}: names files with plugins, which hold code: ['theirs.py']; read them, and "
        "add --plugin FILE for each that you trust\n"
    )
    for more in ([], ["--rule", "bp"]):
        assert execute(["run", str(file), *more]) == 2
        assert capsys.readouterr().err == message
    sweep = {"spec": {"rules": ["bp"], "base": {"plugins": ["theirs.py"]}}}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    assert execute(["compare", str(tmp_path)]) == 2
    assert capsys.readouterr().err == message.replace(str(file), str(tmp_path / "sweep.json"))
    assert not (tmp_path / "ran").exists()
    assert execute(["run", str(file), "--plugin", "theirs.py"]) == 2
    assert "--plugin theirs.py: defines no rule" in capsys.readouterr().err
    assert (tmp_path / "ran").exists()
