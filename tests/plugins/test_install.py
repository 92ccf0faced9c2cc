"""New packages from templates; installing, running and removing them in a fresh environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from plastic_core.cli import execute
from plastic_core.testing import RuleConformance
from tests.plugins.broken import MISTAKES, broken_wheel, package_of
from tests.processes import forked

# what the kit tests of a rule
CHECKS = sum(name.startswith("test_") for name in dir(RuleConformance))


class Environment:
    """A Python of its own that also sees all that is installed here."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        self.site = next((folder / "lib").glob("python*")) / "site-packages"
        ours = sysconfig.get_path("purelib")
        (self.site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        # a process that was forked elsewhere sees what one of this Python would
        self._enter = (
            f"import site, sys; sys.executable = {str(self.python)!r}; "
            f"site.addsitedir({str(self.site)!r})"
        )

    def __call__(self, module, *arguments, cwd, code=0, fresh=False):
        # build here and offline: the packages that building needs are installed
        env = {**os.environ, "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
        if fresh or module == "pip":  # which asks where this Python has its packages
            command = [self.python, "-m", module, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd)
        else:
            done = forked(module, *arguments, first=self._enter, cwd=cwd, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def plastic(self, *arguments, cwd, code=0, fresh=False):
        return self("plastic_core", *arguments, cwd=cwd, code=code, fresh=fresh)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def environment(shared):
    """Return the environment of all tests, from which all that one installs is taken away again."""
    before = set(shared.site.iterdir())
    yield shared
    for path in set(shared.site.iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_five_commands_from_an_empty_folder(environment, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    written = environment.plastic("new-rule", "my-rule", cwd=folder).stdout
    assert written.splitlines()[-3:] == [
        "  plastic install -e ./plastic-my-rule",
        "  pytest plastic-my-rule",
        "  plastic run --rule my-rule+bp --task digits-mlp",
    ]
    for line in written.splitlines():
        if line.startswith("wrote "):
            assert (folder / line.removeprefix("wrote ")).is_file()
    installed = environment.plastic("install", "-e", "./plastic-my-rule", cwd=folder)
    assert installed.stdout == (
        "plastic-my-rule 0.1.0: no faults in rule my-rule\n  rule my-rule: runs on native, eager\n"
    )
    tests = environment("pytest", "-q", "-p", "no:xdist", "plastic-my-rule", cwd=folder).stdout
    assert re.search(rf"\b{CHECKS} passed\b", tests)
    small = ("--samples", "200", "--seeds", "2", "--json")
    run = environment.plastic(
        "run", "--rule", "my-rule+bp", "--task", "digits-mlp", *small, cwd=folder
    )
    assert json.loads(run.stdout)["rule"] == "my-rule+bp"
    removed = environment.plastic("uninstall", "plastic-my-rule", cwd=folder)
    assert removed.stdout == "removed plastic-my-rule\n"
    assert "my-rule" not in environment.plastic("plugins", cwd=folder).stdout


@pytest.mark.slow
def test_fresh_interpreters_install_twice_and_run(environment, tmp_path):
    environment.plastic("new-rule", "my-rule", cwd=tmp_path)
    for _ in range(2):
        done = environment.plastic("install", "-e", "./plastic-my-rule", cwd=tmp_path, fresh=True)
        assert "plastic-my-rule 0.1.0: no faults" in done.stdout
    small = ("--rule", "my-rule+bp", "--samples", "200", "--seeds", "2", "--json")
    run = environment.plastic("run", *small, cwd=tmp_path, fresh=True)
    assert json.loads(run.stdout)["rule"] == "my-rule+bp"


@pytest.mark.slow
def test_a_new_task_passes_its_tests_and_trains(environment, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    environment.plastic("new-task", "two-clouds", cwd=folder)
    shown = environment.plastic("check", "./plastic-two-clouds", cwd=folder).stdout
    assert shown == "plastic-two-clouds: no faults in task two-clouds\n"
    environment.plastic("install", "./plastic-two-clouds", cwd=folder)
    tests = environment("pytest", "-q", "-p", "no:xdist", "plastic-two-clouds", cwd=folder).stdout
    assert re.search(r"\b6 passed\b", tests)
    small = ("--samples", "2000", "--seeds", "2", "--noise", "0.2", "--json")
    run = environment.plastic("run", "--rule", "bp", "--task", "two-clouds", *small, cwd=folder)
    assert json.loads(run.stdout)["accuracy"]["mean"] > 0.9


CHECKED = ("import error", "name clash", "wrong shape")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "checked"),
    [
        (("import error", "name clash", "group misspelt"), CHECKED[:1]),
        (tuple(MISTAKES), CHECKED),
    ],
    ids=["three", "all"],
)
def test_broken_packages_stop_nothing_and_can_be_removed(environment, tmp_path, kinds, checked):
    mistakes = dict(enumerate(kinds))
    wheels = [str(broken_wheel(tmp_path, m, i)) for i, m in mistakes.items()]
    quick = [i for i, m in mistakes.items() if m in checked]
    done = environment.plastic("install", *(wheels[i] for i in quick), cwd=tmp_path, code=1)
    for i in quick:
        assert f"{package_of(mistakes[i], i)[0]} 1.0: " in done.stdout
    assert done.stderr.endswith(
        "a plugin at fault disturbs no other; 'plastic uninstall NAME' removes it\n"
    )
    environment("pip", "install", "--quiet", *wheels, cwd=tmp_path)
    small = ("--rule", "bp+hebbian", "--samples", "50", "--seeds", "1", "--json")
    assert json.loads(environment.plastic("run", *small, cwd=tmp_path).stdout)["rule"]
    entries = json.loads(environment.plastic("plugins", "--json", cwd=tmp_path).stdout)
    states = {e["distribution"]: e["state"] for e in entries}
    # what only a call can show is found by check, and by a run that asks for the rule
    callable_, silent = (
        ("wrong shape", "modifies the weight", "undeclared signal"),
        "group misspelt",
    )
    for i, mistake in mistakes.items():
        distribution, _, name = package_of(mistake, i)
        if mistake != silent:
            expected = "ok" if mistake in callable_ else "failed"
            expected = "clash" if mistake == "name clash" else expected
            assert states[distribution] == expected, mistake
        if mistake not in ("name clash", silent):
            asked = ("run", "--rule", f"bp+{name}", "--samples", "5", "--seeds", "1")
            if mistake in ("import error", *callable_):
                refused = environment.plastic(*asked, cwd=tmp_path, code=2)
                assert refused.stderr.splitlines()[-1]
                assert "Traceback" not in refused.stderr
    ours = [package_of(m, i)[0] for i, m in mistakes.items() if m != silent]
    environment.plastic("uninstall", *ours, cwd=tmp_path)
    entries = json.loads(environment.plastic("plugins", "--json", cwd=tmp_path).stdout)
    assert {e["distribution"] for e in entries} == {"plastic-learning"}


def test_uninstalling_loads_no_plugin(environment, tmp_path):
    from tests.plugins.packages import build_wheel

    source = f"open({str(tmp_path / 'loaded')!r}, 'w')"
    wheel = build_wheel(
        tmp_path, "plastic-spy", {"spy": source}, {"plastic.rules": {"spy": "spy:Spy"}}
    )
    environment("pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    environment.plastic("uninstall", "plastic-spy", cwd=tmp_path)
    assert not Path(tmp_path / "loaded").exists()


@pytest.mark.parametrize("kind", ["rule", "task"])
def test_a_single_file_runs(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    assert execute([f"new-{kind}", "mine-of-file", "--file"]) == 0
    capsys.readouterr()
    assert execute(["check", "mine_of_file.py"]) == 0
    rule = "bp+mine-of-file" if kind == "rule" else "bp"
    task = "digits-mlp" if kind == "rule" else "mine-of-file"
    small = ["--samples", "50", "--seeds", "1", "--plugin", "mine_of_file.py"]
    assert execute(["run", "--rule", rule, "--task", task, *small]) == 0


BAD = {
    "new-rule My_Rule": "the name 'My_Rule': expected small letters and digits in words joined by "
    "hyphens, such as my-rule",
    "new-rule oja": "there is already a rule 'oja'; choose another name ('plastic rules' lists those "
    "that are taken)",
    "new-task there": "plastic-there is there already; choose another name, or move it away",
    "new-rule there --file": "there.py is there already; choose another name, or move it away",
    "install": "install: name what to install, such as plastic-my-rule or -e ./folder",
    "uninstall": "uninstall: name what to remove; 'plastic plugins' lists it",
    "uninstall numpy": "uninstall numpy: no installed package of that name brings plugins\n"
    "  those that do: (none)",
    "uninstall Plastic_Learning": "plastic-learning is plastic itself; 'python -m pip uninstall "
    "plastic-learning' removes it",
    "install ./nowhere.whl": "pip could not install ./nowhere.whl; the reason stands above",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_gets_one_message(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plastic-there").mkdir()
    (tmp_path / "there.py").touch()
    assert execute(command.split()) == 2
    assert capsys.readouterr().err == f"plastic: {BAD[command]}\n"


def test_without_pip_the_way_out_is_named(monkeypatch, capsys):
    from plastic_core.plugins import installation

    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    assert execute(["install", "plastic-x"]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {sys.executable} has no pip; 'python -m ensurepip' or your package manager installs "
        "it, or use the manager's own command: a plugin is an ordinary package\n"
    )


EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "plastic-bcm"


def test_the_example_package_of_the_docs_is_without_faults(capsys):
    assert execute(["check", str(EXAMPLE), "--no-compiled"]) == 0
    assert capsys.readouterr().out == (
        f"{EXAMPLE}: no faults in rule bcm\n  rule bcm: runs on native, eager\n"
    )


@pytest.mark.slow
def test_the_example_package_of_the_docs_is_installed_and_passes_its_tests(environment, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLE, tmp_path / "plastic-bcm", ignore=ignored)
    installed = environment.plastic("install", "./plastic-bcm", cwd=tmp_path)
    assert installed.stdout == (
        "plastic-bcm 0.1.0: no faults in rule bcm\n  rule bcm: runs on native, eager\n"
    )
    tests = environment("pytest", "-q", "-p", "no:xdist", "plastic-bcm", cwd=tmp_path).stdout
    assert re.search(rf"\b{CHECKS + 1} passed\b", tests)
    assert "state threshold" in environment.plastic("rules", "show", "bcm", cwd=tmp_path).stdout
