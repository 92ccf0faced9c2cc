"""Corrupt, truncated, foreign and malicious stores: a clear error each, and no code run."""

import json
import pickle
import shutil

import pytest

from plastic_core import PlasticError, RunSpec, Store, run
from plastic_core.cli import execute

SPEC = RunSpec(seeds=1, samples=20, evaluations=2, options={"sizes": [64, 10, 10]})


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return a folder with one cell."""
    folder = tmp_path_factory.mktemp("sound")
    run(SPEC, store=Store(folder))
    return folder


@pytest.fixture
def store(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "store")
    return Store(tmp_path / "store")


class Payload:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


def changed(**changes):
    def change(text):
        return json.dumps({**json.loads(text), **changes}).encode()

    return change


def of_result(**changes):
    def change(text):
        content = json.loads(text)
        content["result"].update(changes)
        return json.dumps(content).encode()

    return change


def of_content(**changes):
    def change(text):
        content = json.loads(text)
        content["content"].update(changes)
        return json.dumps(content).encode()

    return change


DAMAGES = {
    "empty": lambda text: b"",
    "truncated": lambda text: text[: len(text) // 2].encode(),
    "one byte short": lambda text: text.strip()[:-1].encode(),
    "not UTF-8": lambda text: b"\xff\xfe" + text.encode(),
    "zeros": lambda text: bytes(len(text)),
    "a pickle": lambda text: pickle.dumps(Payload()),
    "a pickle in a string": changed(result=pickle.dumps(Payload()).hex()),
    "a list": lambda text: b"[1, 2]",
    "nested too deeply": lambda text: b"[" * 100_000,
    "another format": changed(format=2),
    "another key": changed(key="0" * 64),
    "another theta": of_content(seed=5),
    "a field too many": changed(__class__="os.system"),
    "accuracy above 1": of_result(accuracy=[0.1, 7.0]),
    "not a number": lambda text: text.replace('"diverged_at":-1', '"diverged_at":NaN').encode(),
    "lengths that differ": of_result(steps=[10]),
    "no result": changed(result=None),
    "somebody else's file": lambda text: b'{"name": "package", "version": "1.0.0"}',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_explained_and_removed(store, tmp_path, monkeypatch, capsys, damage):
    monkeypatch.chdir(tmp_path)
    (file,) = store.files()
    text = file.read_text()
    file.write_bytes(DAMAGES[damage](text))
    with pytest.raises(PlasticError) as caught:
        run(SPEC, store=store, reuse=True)
    message = str(caught.value)
    assert message.startswith(f"{file}: is no cell of a store (")
    assert message.endswith("); 'plastic store prune --damaged' removes what is damaged")
    assert execute(["store", "verify", "--store", str(store.folder)]) == 1
    assert capsys.readouterr().out == f"{message}\n0 sound, 1 damaged\n"
    assert execute(["store", "prune", "--damaged", "--store", str(store.folder)]) == 0
    assert capsys.readouterr().out == "removed 1 of 1 files\n"
    assert "were in the store" in run(SPEC, store=store, reuse=True).record["result"]["notes"][0]
    assert [f.read_text() for f in store.files()] != []
    assert not (tmp_path / "ran").exists()


def test_a_file_under_a_foreign_name_is_damaged(store):
    (file,) = store.files()
    other = file.with_name("0" * 64 + ".json")
    file.rename(other)
    with pytest.raises(PlasticError, match="its content does not fit its key"):
        store.read(other)


def test_what_is_left_of_a_killed_writer_is_no_cell(store):
    (file,) = store.files()
    file.with_name(f".123-{file.name}").write_text("half")
    assert list(store.files()) == [file]


def test_a_store_that_cannot_be_written_is_explained(tmp_path, capsys):
    (tmp_path / "store").write_text("a file")
    command = ["sweep", "--samples", "10", "--seeds", "1", "--sizes", "64,5,10"]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "sweep")]
    assert execute(command) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("; free or allow it, or give another folder with --store or PLASTIC_STORE")
    )


def test_the_list_and_pruning_of_other_versions(store, capsys):
    folder = ["--store", str(store.folder)]
    assert execute(["store", "--json", *folder]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "store": str(store.folder),
        "groups": [
            {
                "task": "plastic-learning:digits-mlp",
                "rules": "plastic-learning:oja + plastic-learning:bp",
                "cells": 1,
            }
        ],
        "damaged": [],
    }
    assert execute(["store", "prune", "--outdated", *folder]) == 0
    assert capsys.readouterr().out == "removed 0 of 1 files\n"
    assert execute(["store", "prune", *folder]) == 2
    assert capsys.readouterr().err == (
        "plastic: store prune: say what to remove: --damaged, --outdated, or both\n"
    )
