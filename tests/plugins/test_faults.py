"""Broken, clashing and disabled plugins: reported with a remedy, and in nobody's way."""

import json
import os

import pytest

from plastic_core import PlasticError
from plastic_core.plugins.catalogue import Catalogue
from tests.plugins.packages import build_wheel, rule_source, unpack
from tests.processes import plastic

# source of the module, the state of the entry, what is wrong, the remedy
BROKEN = {
    "import error": (
        "import a_package_that_is_not_there",
        "importing broken:Mine raised ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "syntax error": (
        "class Mine(",
        "importing broken:Mine raised SyntaxError: '(' was never closed (broken.py, line 1)",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "exit on import": (
        "raise SystemExit(3)",
        "importing broken:Mine raised SystemExit: 3",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "interrupt on import": (
        "raise KeyboardInterrupt",
        "importing broken:Mine raised KeyboardInterrupt",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "no exception at all": (
        "class End(BaseException): pass\nraise End('now')",
        "importing broken:Mine raised End: now",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "an exception whose text raises": (
        "class Silent(Exception):\n    def __str__(self): raise ValueError\nraise Silent",
        "importing broken:Mine raised Silent: (its text cannot be shown)",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "a spec that raises": (
        "from plastic_core.api import Rule\n"
        "class Meta(type):\n    @property\n    def spec(cls): raise ValueError('no spec')\n"
        "class Mine(Rule, metaclass=Meta): pass",
        "importing broken:Mine raised ValueError: no spec",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "entry point to nothing": (
        rule_source(cls="Other"),
        "importing broken:Mine raised AttributeError: module 'broken' has no attribute 'Mine'",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "no class": (
        "Mine = 3",
        "found 3, which is no rule class",
        "let the entry point name a subclass of plastic_core.api.Rule",
    ),
    "no spec": (
        "from plastic_core.api import Rule\nclass Mine(Rule): pass",
        "Mine.spec is None, no RuleSpec",
        "write spec = RuleSpec(...) in the class",
    ),
    "bad spec": (
        rule_source(more=" modifes='forward',"),
        "importing broken:Mine raised SpecError: RuleSpec: modifes = 'forward': there is no field "
        "'modifes'; did you mean 'modifies'? The fields are api, equation, feedback, gated, modifies, "
        "name, noise, params, passes, propagates, reads, reference, settle, state, summary, theta",
        "update or uninstall plastic-broken, or set PLASTIC_DISABLE=plastic-broken",
    ),
    "wrong hook argument": (
        rule_source().replace("(self, s)", "(self, signals)"),
        "Mine.plastic_local_update takes (self, signals), expected (self, s)",
        "write def plastic_local_update(self, s)",
    ),
    "misspelt hook": (
        rule_source().replace("plastic_local_update", "plastic_local_updat"),
        "there is no hook 'plastic_local_updat'; did you mean 'plastic_local_update'?",
        "the hooks are plastic_forward, plastic_input, plastic_propagate_error, plastic_settle, plastic_local_update",
    ),
    "hook without its mark": (
        rule_source().replace("@hookimpl", ""),
        "Mine.plastic_local_update lacks @hookimpl",
        "write @hookimpl above it",
    ),
    "wrapper": (
        rule_source(body="yield").replace("@hookimpl", "@hookimpl(wrapper=True)"),
        "Mine.plastic_local_update is a hook wrapper, which the training loop has no place for",
        "write a plain hook, @hookimpl without wrapper=True",
    ),
    "other API": (
        rule_source(more=" api=2,"),
        "it was written for API 2, and this plastic-learning offers API 1",
        "install versions of both that agree",
    ),
    "other name": (
        rule_source(name="yours"),
        "the entry point is called 'mine' but the spec's name is 'yours'",
        "give both the same name",
    ),
    "says that it propagates": (
        rule_source(more=" propagates=True,"),
        "spec.propagates is True, but plastic_propagate_error is not implemented",
        "write propagates=False",
    ),
    "arguments": (
        rule_source() + "\n    def __init__(self, size):\n        pass\n",
        "Mine() raised TypeError: Mine.__init__() missing 1 required positional argument: 'size'",
        "let it be made without arguments",
    ),
}


def site_with(
    tmp_path, distribution="plastic-broken", module="broken", source="", rule="mine", cls="Mine"
):
    site = tmp_path / "site"
    wheel = build_wheel(
        tmp_path, distribution, {module: source}, {"plastic.rules": {rule: f"{module}:{cls}"}}
    )
    unpack(wheel, site)
    return site


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_plugin_is_reported_and_isolated(tmp_path, monkeypatch, mistake):
    source, error, remedy = BROKEN[mistake]
    monkeypatch.syspath_prepend(site_with(tmp_path, source=source))
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)
    catalogue = Catalogue()
    entry = next(e for e in catalogue.entries("rule") if e.name == "mine")
    assert (entry.state, entry.error, entry.remedy) == ("failed", error, remedy)
    assert catalogue.find("rule", "oja").state == "ok"
    with pytest.raises(PlasticError) as caught:
        catalogue.find("rule", "mine")
    assert str(caught.value) == (
        f"the rule 'mine' of plastic-broken cannot be used: {error}\n  {remedy}"
    )
    monkeypatch.setenv("PLASTIC_STRICT", "1")
    with pytest.raises(PlasticError) as caught:
        Catalogue()
    assert str(caught.value) == (
        "PLASTIC_STRICT is set and these plugins are at fault:\n"
        f"  rule plastic-broken:mine: {error}; {remedy}"
    )


ENDING = {
    "import os\nos._exit(3)": "importing broken:Mine ended the process: exit code 3",
    "import os\nos._exit(0)": "importing broken:Mine ended the process: exit code 0",
    "import os\nos.abort()": "importing broken:Mine ended the process: signal 6",
}


@pytest.mark.parametrize("source", ENDING)
def test_a_plugin_that_ends_the_process_is_found_out(tmp_path, source):
    site = site_with(tmp_path, source=source)
    error, remedy = ENDING[source], "update or uninstall plastic-broken, or set PLASTIC_DISABLE="
    listed = plastic("plugins", path=site)
    assert listed.returncode == 0, listed.stderr
    assert f"rule plastic-broken:mine (failed): {error}\n  remedy: {remedy}" in listed.stdout
    rules = plastic("rules", "--json", path=site)
    assert rules.returncode == 0
    assert rules.stderr == (
        f"note: rule plastic-broken:mine cannot be used: {error}; {remedy}plastic-broken\n"
    )
    assert "sanger" in {rule["name"] for rule in json.loads(rules.stdout)}


def test_standard_output_is_the_result_alone_whatever_a_plugin_writes(tmp_path):
    noise = "import os\nos.write(1, b'noise')\nos.system('echo noise')\nprint('noise')\n"
    file = tmp_path / "noisy.py"
    in_hook = "import os; os.write(1, b'noise'); return outer(s.post, s.pre)"
    file.write_text(noise + rule_source("noisy", "Noisy", body=in_hook))
    flags = ("--seeds", "1", "--samples", "20", "--json", "--out", str(tmp_path / "run"))
    done = plastic("run", "--plugin", str(file), "--rule", "bp+noisy", *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rule"] == "bp+noisy"
    assert "noise" in done.stderr


def test_the_commands_go_on_beside_five_broken_plugins(tmp_path):
    for i, mistake in enumerate(
        ("import error", "wrong hook argument", "bad spec", "misspelt hook", "syntax error")
    ):
        source = BROKEN[mistake][0].replace('name="mine"', f'name="mine{i}"')
        site = site_with(tmp_path, f"plastic-broken{i}", f"broken{i}", source, rule=f"mine{i}")
    site = site_with(
        tmp_path, "plastic-rival", "rival", rule_source("oja", "Rival"), "oja", "Rival"
    )
    listed = plastic("plugins", path=site, fresh=True)
    assert listed.returncode == 0, listed.stderr
    for i in range(5):
        assert f"rule plastic-broken{i}:mine{i} (failed): " in listed.stdout
    assert listed.stdout.count("remedy: ") == 7
    done = plastic(
        *("run", "--rule", "bp+hebbian", "--seeds", "2", "--samples", "50", "--json"),
        *("--out", str(tmp_path / "run")),
        path=site,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rule"] == "bp+hebbian"


def test_what_is_installed_meanwhile_is_found(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    os.utime(site, (0, 0))  # whatever its clock is worth, it is another time once it has changed
    monkeypatch.syspath_prepend(site)
    assert "late" not in Catalogue().names("rule")
    source, points = rule_source("late", "Late"), {"plastic.rules": {"late": "late:Late"}}
    unpack(build_wheel(tmp_path, "plastic-late", {"late": source}, points), site)
    assert Catalogue().find("rule", "late").distribution == "plastic-late"


@pytest.fixture
def rival(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(
        site_with(tmp_path, "plastic-rival", "rival", rule_source("oja", "Rival"), "oja", "Rival")
    )


@pytest.mark.usefixtures("rival")
def test_a_clash_names_both_distributions_and_the_way_out():
    catalogue = Catalogue()
    states = {e.distribution: e.state for e in catalogue.entries("rule") if e.name == "oja"}
    assert states == {"plastic-learning": "clash", "plastic-rival": "clash"}
    with pytest.raises(PlasticError) as caught:
        catalogue.find("rule", "oja")
    version = catalogue.find("rule", "bp").version
    both = {f"plastic-learning {version}", "plastic-rival 1.0"}
    message = str(caught.value)
    assert message.startswith("the rule 'oja' comes from plastic-")
    assert all(name in message for name in both)
    assert message.endswith(
        (
            "write plastic-learning:oja or plastic-rival:oja",
            "write plastic-rival:oja or plastic-learning:oja",
        )
    )
    assert catalogue.find("rule", "plastic-rival:oja").plugin.__name__ == "Rival"
    assert catalogue.find("rule", "plastic-learning:oja").plugin.__name__ == "Oja"


@pytest.mark.usefixtures("rival")
@pytest.mark.parametrize("disable", ["plastic-rival", "x, plastic-rival:oja"])
def test_a_disabled_plugin_is_out_of_the_way(monkeypatch, disable):
    monkeypatch.setenv("PLASTIC_DISABLE", disable)
    catalogue = Catalogue()
    assert catalogue.find("rule", "oja").distribution == "plastic-learning"
    with pytest.raises(PlasticError) as caught:
        catalogue.find("rule", "plastic-rival:oja")
    assert str(caught.value) == (
        "the rule 'plastic-rival:oja' is disabled by PLASTIC_DISABLE; "
        "take it out of PLASTIC_DISABLE to use it"
    )


def test_a_rule_from_a_file(tmp_path):
    file = tmp_path / "my_rule.py"
    file.write_text(rule_source("from-file", "FromFile"))
    done = plastic(
        *(
            "run",
            "--plugin",
            str(file),
            "--rule",
            "bp+from-file",
            "--seeds",
            "1",
            "--samples",
            "50",
        ),
        *("--json", "--out", str(tmp_path / "run")),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["thetas"]["from-file"] == 1e-4
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["spec"]["plugins"] == [str(file)]
    repeat = ("run", str(tmp_path / "run" / "run.json"), "--plugin", str(file), "--json")
    again = plastic(*repeat, "--out", str(tmp_path / "again"))
    assert json.loads(again.stdout)["accuracy"] == json.loads(done.stdout)["accuracy"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "--plugin {file}: there is no such file"),
        ("x = 1", "--plugin {file}: defines no rule, transform, probe, task, layer, activation, loss, initialisation or observer; "
                  "expected a subclass of plastic_core.api.Rule, Transform, Probe, Task, Layer, Activation, Loss, Initialisation or Observer"),
        ("1/0", "--plugin {file}: importing it raised ZeroDivisionError: division by zero"),
        (
            rule_source(body="return outer(s.post, s.pre)").replace("(self, s)", "(self, x)"),
            "plastic_plugin_file_mine:Mine cannot be used as a rule: Mine.plastic_local_update takes "
            "(self, x), expected (self, s)\n  write def plastic_local_update(self, s)",
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_explained(tmp_path, content, message):
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PlasticError) as caught:
        Catalogue(files=[str(file)])
    assert str(caught.value) == message.format(file=file)
