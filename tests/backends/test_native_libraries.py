"""Kept libraries that were damaged, caches that cannot be used, and compilers that lie or hang."""

import ctypes
import json
import os
import shutil
import stat
import time
from pathlib import Path

import platformdirs
import psutil
import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.backends.native import compiler, library
from plastic_core.cli import execute

REAL = os.environ.get("CC") or shutil.which("cc")
SPEC = RunSpec(
    rule="bp", task="digits-mlp", samples=20, evaluations=1, seeds=1, options={"sizes": [64, 5, 10]}
)
TOO_FEW = "not compiled: 20 updates are too few to repay half a minute of compiling"


def forget():
    """Forget what this process knows of the compiler, and its folder of libraries."""
    compiler.find_compiler.cache_clear()
    library._private_folder.cache_clear()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Return a cache folder that does not exist yet."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    forget()
    yield tmp_path / "plastic" / "native"
    forget()


def trained():
    """Return the weights and the notes of a run, which must be native."""
    result = run(SPEC)
    assert result.record["backend"] == "native", result.record["backend_reason"]
    notes = [n for n in result.record["result"]["notes"] if not n.startswith("evaluations use")]
    return result.parameters.weights, notes


def empty(kept):
    kept.write_bytes(b"")


def garbage(kept):
    kept.write_bytes(b"\x7fELF" + bytes(range(256)) * 20)


def truncated(kept):
    kept.write_bytes(kept.read_bytes()[:-6000])


def changed(kept):
    content = bytearray(kept.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\x0f\x0b" * 1000  # no instruction
    kept.write_bytes(content)


def folder(kept):
    kept.unlink()
    kept.mkdir()
    (kept / "file").touch()


def pipe(kept):
    kept.unlink()
    os.mkfifo(kept)


def nowhere(kept):
    kept.unlink()
    kept.symlink_to(kept)


@pytest.mark.parametrize("damage", [empty, garbage, truncated, changed, folder, pipe, nowhere])
def test_a_damaged_library_is_made_again_once_with_a_note(cache, damage):
    expected, notes = trained()
    assert notes == []
    (kept,) = cache.iterdir()
    # another file than the one that this process has loaded
    content = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(content)
    damage(kept)
    weights, notes = trained()
    assert notes == [f"the compiled library {kept} was damaged, and is compiled again"]
    assert all(map(torch.equal, weights, expected))
    assert [*cache.iterdir()] == [kept]
    assert trained()[1] == []


def open_to_the_group(cache, _):
    cache.mkdir(parents=True)
    cache.chmod(0o770)
    return (
        f"the cache folder {cache} can be written by others, who could put code into it; "
        f"run: chmod 700 {cache}"
    )


def foreign(cache, monkeypatch):
    cache.mkdir(parents=True)
    ours = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: ours + 1)
    return f"the cache folder {cache} belongs to another user"


def a_file(cache, _):
    cache.parent.mkdir()
    cache.touch()
    return f"the cache folder {cache} cannot be made: File exists"


def not_executable(cache, monkeypatch):
    load = ctypes.CDLL

    def loaded(name):
        if name.startswith(str(cache)):
            raise OSError(f"{name}: failed to map segment from shared object")
        return load(name)

    monkeypatch.setattr(ctypes, "CDLL", loaded)
    return f"the cache folder {cache} cannot be used: failed to map segment from shared object"


def full(cache, monkeypatch):
    script = cache.parents[1] / "cc"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *{cache}*) echo "error: No space left on device" >&2; exit 1;; '
        f'esac\nexec {REAL} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return (
        f"the cache folder {cache} cannot be used: {script} failed: error: No space left on device"
    )


@pytest.mark.parametrize("unusable", [open_to_the_group, foreign, a_file, not_executable, full])
def test_a_cache_that_cannot_be_used_falls_to_a_private_folder_and_says_so(
    cache, monkeypatch, unusable, capsys
):
    reason = unusable(cache, monkeypatch)
    note = f"compiled libraries are kept in a temporary folder until this process ends: {reason}"
    assert trained()[1] == [note]
    (kept,) = Path(library._private_folder().name).iterdir()
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    made = kept.stat().st_mtime_ns
    command = [
        "run",
        "--rule",
        "bp",
        "--sizes",
        "64,5,10",
        "--samples",
        "20",
        "--seeds",
        "1",
        "--json",
    ]
    assert execute([*command, "--out", str(cache.parents[1] / "run")]) == 0
    assert note in json.loads(capsys.readouterr().out)["notes"]
    assert kept.stat().st_mtime_ns == made


def script(tmp_path, monkeypatch, text, interpreter="/bin/sh"):
    """Make a compiler of a shell script; $out is the file that it is to write."""
    file = tmp_path / "lies"
    out = 'for word; do [ "$last" = -o ] && out=$word; last=$word; done\n'
    file.write_text(f"#!{interpreter}\n{out}{text}\n")
    file.chmod(0o755)
    monkeypatch.setenv("CC", str(file))
    return file


def refused():
    """Return why a run was not native; it is trained by eager."""
    result = run(SPEC)
    assert result.record["backend"] == "eager"
    text = result.record["backend_reason"]
    begin, end = "auto; not native: ", f"; {TOO_FEW}"
    assert text.startswith(begin)
    assert text.endswith(end)
    reason = text.removeprefix(begin).removesuffix(end)
    assert "would make it several times faster" not in reason
    return reason


OTHER = r"printf '\000\000' | dd of=$out bs=1 seek=18 conv=notrunc 2>/dev/null"

LIES = {
    "nothing": ("exit 0", "{cc} made no library, and no error"),
    "garbage": (
        '[ -n "$out" ] && echo garbage > $out; exit 0',
        "{cc} made a library that cannot be loaded: file too short",
    ),
    "more garbage": (
        '[ -n "$out" ] && head -c 9999 /dev/zero > $out; exit 0',
        "{cc} made a library that cannot be loaded: invalid ELF header",
    ),
    "another architecture": (
        f'{REAL} "$@" && [ -n "$out" ] && {OTHER}; exit 0',
        "{cc} made a library that cannot be loaded: cannot open shared object file: No such file or "
        "directory",
    ),
    "another library": (
        f'[ -n "$out" ] && echo "int other;" | {REAL} -shared -fPIC -x c - -o $out; exit 0',
        "{cc} made a library without its function 'plastic_train'",
    ),
    "an error in no known encoding": (
        "printf 'error: \\377\\n' >&2; exit 1",
        "{cc} failed: error: \ufffd",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_compiler_that_lies_leaves_the_run_to_the_next_backend(tmp_path, monkeypatch, lie):
    text, reason = LIES[lie]
    cc = script(tmp_path, monkeypatch, text)
    assert refused() == reason.format(cc=cc)
    assert refused() == reason.format(cc=cc)


def test_a_compiler_whose_interpreter_is_missing(tmp_path, monkeypatch):
    cc = script(tmp_path, monkeypatch, "", "/nonexistent/sh")
    assert refused() == f"{cc} cannot be run: No such file or directory"


@pytest.mark.parametrize("where", ["asked what it is", "at compiling"])
def test_a_compiler_that_hangs_is_stopped_with_all_that_it_started(tmp_path, monkeypatch, where):
    monkeypatch.setattr(compiler, "_LIMIT", 1)
    pids = tmp_path / "pids"
    hang = f"trap '' TERM\nsleep 600 &\necho $! $$ >> {pids}\nwait"
    if where == "at compiling":
        hang = f'[ -z "$out" ] && exit 0\n{hang}'
    cc = script(tmp_path, monkeypatch, hang)
    assert refused() == f"{cc} did not end within 1 seconds"
    started = [int(word) for word in pids.read_text().split()]
    assert len(started) == 2
    assert not [pid for pid in started if lives(pid)]


def test_what_a_compiler_leaves_behind_is_ended(tmp_path, monkeypatch):
    pids = tmp_path / "pids"
    text = f'sleep 600 >/dev/null 2>&1 &\necho $! >> {pids}\nexec {REAL} "$@"'
    script(tmp_path, monkeypatch, text)
    assert trained()[1] == []
    assert not [pid for pid in map(int, pids.read_text().split()) if lives(pid)]


def lives(pid):
    """Return whether a process that was killed a moment ago still runs."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.1)
    return True
