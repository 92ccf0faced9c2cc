"""The commands, as a user runs them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from plastic_core.cli import execute
from tests.plugins.packages import rule_source
from tests.processes import plastic


def test_plastic_alone_shows_three_examples(capsys):
    assert execute([]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"^  plastic ", out, re.MULTILINE)) == 3


def test_the_examples_that_are_shown_parse():
    shown = re.findall(r"^  plastic (run.*?)  ", plastic(fresh=True).stdout + "  ", re.MULTILINE)
    assert shown
    for line in shown:
        done = plastic(*line.split(), "--samples", "0")
        assert "samples = '0'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["rules"]])
def test_torch_is_not_loaded_for(arguments):
    code = (
        "import sys\nfrom plastic_core.cli import execute\n"
        f"execute({arguments!r})\n"
        "print('\\nLOADED', [m for m in ('torch', 'matplotlib', 'xarray', 'plastic_rules', 'plastic_tasks') "
        "if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = out.rsplit("LOADED ", 1)[1].strip()
    expected = {"run": "['plastic_tasks']", "rules": "['plastic_rules']"}
    assert loaded == expected.get(arguments[0], "[]")


# What takes long to load, and is of use for something else than a run.
HEAVY = (
    "dask",
    "distributed",
    "matplotlib",
    "netCDF4",
    "pandas",
    "scipy",
    "sklearn",
    "torchvision",
    "xarray",
)


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        (
            "from plastic_core import RunSpec, run; from plastic_core.cli import execute; "
            "run(RunSpec(samples=20, seeds=1)); "
            "execute(['sweep', '--samples', '20', '--seeds', '1', '--rule', 'bp'])",
            [],
        ),
        (
            "from plastic_core.cli import execute; "
            "execute(['run', '--samples', '20', '--seeds', '1', '--out', 'run'])",
            ["matplotlib", "netCDF4"],
        ),
    ],
    ids=["run from Python and sweep", "run"],
)
def test_nothing_is_loaded_that_is_not_needed(tmp_path, code, needed):
    loaded = f"\nimport sys; print('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + loaded],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.rsplit("LOADED ", 1)[1].strip() == str(needed)


def test_help_of_run_shows_the_options_of_its_task(capsys):
    assert execute(["run", "--task", "mnist-mlp", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--dataset" in text
    assert execute(["run", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--dataset" not in text
    for flag in ("--rule", "--seeds", "--layers", "--set", "--out", "--json", "--data-dir", "--device",
                 "--dtype", "--threads", "--backend", "--resume", "--plugin", "--transform"):  # fmt: skip
        assert flag in text


def test_a_run_leaves_its_record_curves_and_figure(tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["run", "--rule", "0.004*bp+oja", "--seeds", "3", "--samples", "400"]
    arguments += ["--set", "oja.theta=2e-4", "--set", "oja.layers=1-2", "--evaluations", "4"]
    assert execute([*arguments, "--out", str(folder)]) == 0
    captured = capsys.readouterr()
    assert re.search(r"0\.004\*bp\+oja +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +3 +0 +", captured.out)
    assert "98% bootstrap interval of the mean over 3 seeds, 500 resamples" in captured.out
    assert "rule oja: theta 0.0002 (setting), layers 1, 2" in captured.err
    assert "rule bp: theta 0.004 (expression)" in captured.err
    assert sorted(p.name for p in folder.iterdir()) == [
        "curves.nc",
        "learning_curve.png",
        "run.json",
        "weights.safetensors",
    ]
    assert captured.out.splitlines()[-1] == (
        f"next: plastic predict {folder} FILE, plastic export {folder} --seed N --to FILE, "
        f"plastic run --from {folder}, plastic report {folder}"
    )
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["backend"] == "native"
    assert record["backend_reason"] == "auto: the fastest"
    assert {"torch", "python", "git_commit", "threads"} <= record["environment"].keys()
    curves = xr.load_dataset(folder / "curves.nc")
    assert dict(curves.sizes) == {"seed": 3, "step": 4}
    assert curves["accuracy"][:, -1].mean() == pytest.approx(record["result"]["accuracy"]["mean"])
    assert (folder / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"


def test_json_is_one_object_and_everything_else_goes_to_standard_error(tmp_path):
    small = ("--seeds", "2", "--samples", "100")
    done = plastic("run", *small, "--json", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert {"run_dir", "rule", "thetas", "task", "backend", "seeds", "samples", "accuracy", "diverged",
            "updates_per_second", "seconds"} <= summary.keys()  # fmt: skip
    assert summary["run_dir"] == str(tmp_path / "run")
    assert summary["task"] == "digits-mlp"
    assert summary["accuracy"].keys() == {"mean", "low", "high", "per_seed"}
    accuracy = summary["accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(accuracy["per_seed"]))
    assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]
    assert (
        "evaluations use 250 points, all that the half 'report' holds, in place of 2000"
        in done.stderr
    )


def test_the_default_folder_names_time_task_and_rule(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # twice within a second or two: never the same folder
        assert execute(["run", "--rule", "0.01*bp", "--seeds", "1", "--samples", "10"]) == 0
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert re.fullmatch(r"\d{8}-\d{6}-digits-mlp-0\.01_bp(-2)?", folder.name)


def test_a_spec_file_and_flags_over_it(tmp_path, capsys):
    (tmp_path / "spec.toml").write_text(
        'rule = "bp"\nseeds = 2\nsamples = 50\n[options]\nsizes = [64, 12, 10]\n[settings.bp]\ntheta = 0.02\n'
    )
    arguments = [
        "run",
        str(tmp_path / "spec.toml"),
        "--json",
        "--out",
        str(tmp_path / "run"),
        "--seeds",
        "3",
    ]
    assert execute([*arguments, "--init", "kaiming"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["seeds"], summary["thetas"]) == (3, {"bp": 0.02})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["network"]["sizes"] == [64, 12, 10]
    assert record["network"]["init"] == "kaiming"


def test_rules_tasks_and_plugins_as_json(capsys):
    assert execute(["rules", "--json"]) == 0
    rules = {rule["name"]: rule for rule in json.loads(capsys.readouterr().out)}
    assert rules["b-update"]["params"]["printed"]["default"] is False
    assert rules["oja"]["reads"] == ["post", "recon", "source"]
    assert execute(["rules", "show", "oja", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rules["oja"]
    assert execute(["tasks", "--json"]) == 0
    tasks = {task["name"]: task for task in json.loads(capsys.readouterr().out)}
    assert tasks["mnist-mlp"]["options"]["dataset"]["enum"] == [
        "mnist",
        "fashion-mnist",
        "emnist-balanced",
    ]
    assert execute(["plugins", "--json"]) == 0
    assert {e["state"] for e in json.loads(capsys.readouterr().out)} == {"ok"}


def test_plugins_show_prints_a_plugin_of_any_kind_with_its_options(capsys):
    assert execute(["plugins", "show", "conv"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("layer conv: the same weights for every patch of an image\n\n")
    for part in (
        "  reference   LeCun et al. 1989",
        "  written     conv CHANNELS KERNEL [OPTION VALUE ...]\n",
        "    channels     units at each place\n",
        "    stride       rows and columns from one patch to the next; default (1, 1)\n",
    ):
        assert part in out
    assert execute(["plugins", "show", "adam", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["options"]["beta1"]) == (
        "transform",
        "what is kept of the mean; default 0.9",
    )
    assert execute(["plugins", "show", "convv"]) == 2
    assert capsys.readouterr().err == (
        "plastic: there is no plugin 'convv'; did you mean 'conv'?\n"
        "  'plastic plugins' lists them\n"
    )


def test_plugins_show_says_what_is_wrong_with_a_plugin(capsys, monkeypatch):
    monkeypatch.setenv("PLASTIC_DISABLE", "oja")
    assert execute(["plugins", "show", "oja"]) == 2
    assert capsys.readouterr().err == (
        "plastic: rule plastic-learning:oja (disabled): disabled by PLASTIC_DISABLE\n"
        "  remedy: take it out of PLASTIC_DISABLE to use it\n"
    )


def test_tasks_are_a_table_with_their_flags(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert execute(["tasks"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["task", "summary", "options"]
    (row,) = (row for row in rows if row.startswith("digits-mlp"))
    assert "--layers --sizes --activation" in row


def test_rules_show_prints_equation_source_and_parameters(capsys):
    assert execute(["rules", "show", "b-update"]) == 0
    out = capsys.readouterr().out
    for part in (
        r"-y_{l-1}\, e_l^\top",
        "Kolen, Pollack 1994",
        "default 0.003",
        "b-update.printed = False",
    ):
        assert part in out


def test_divergence_is_reported(tmp_path, capsys):
    arguments = [
        "run",
        "--rule",
        "1e30*bp",
        "--seeds",
        "2",
        "--samples",
        "20",
        "--out",
        str(tmp_path / "r"),
    ]
    assert execute(arguments) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"diverged, counted at chance level: seed 0 at sample \d+, seed 1 at sample \d+", out
    )
    assert re.search(r"1e30\*bp +10\.00 +10\.00 +10\.00 +2 +2 ", out)


def test_resume_through_the_command_line(tmp_path, capsys):
    arguments = [
        "run",
        "--seeds",
        "1",
        "--samples",
        "40",
        "--out",
        str(tmp_path / "r"),
        "--resume",
        "--json",
    ]
    assert execute(arguments) == 0  # a missing folder: starts
    first = json.loads(capsys.readouterr().out)
    assert execute(arguments) == 0  # a finished one: the stored result
    assert json.loads(capsys.readouterr().out) == first


def test_interrupted(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("plastic_core.cli.run_command._run", interrupt)
    assert execute(["run"]) == 130
    assert "plastic run --resume --out DIR" in capsys.readouterr().err


def test_a_repeated_run_with_another_rule_or_network_takes_its_own_thetas(tmp_path, capsys):
    first = ["run", "--seeds", "1", "--samples", "20", "--json", "--out", str(tmp_path / "a")]
    assert execute(first) == 0
    capsys.readouterr()
    record = str(tmp_path / "a" / "run.json")
    for i, (change, thetas) in enumerate(
        (
            ([], {"oja": 1e-4, "bp": 0.0063}),
            (["--layers", "10"], {"oja": 3e-4, "bp": 0.01}),
            (["--rule", "bp"], {"bp": 0.0063}),
            (["--rule", "0.02*bp+oja"], {"bp": 0.02, "oja": 1e-4}),
        )
    ):
        out = ["--json", "--out", str(tmp_path / f"b{i}")]
        assert execute(["run", record, *change, *out]) == 0
        assert json.loads(capsys.readouterr().out)["thetas"] == thetas


def test_what_a_plugin_prints_stays_out_of_the_json(tmp_path):
    file = tmp_path / "chatty.py"
    file.write_text(
        "print('hello')\n"
        + rule_source("chatty", "Chatty", body="print('hi'); return -outer(s.post, s.pre)")
    )
    done = plastic(
        *("run", "--plugin", str(file), "--rule", "chatty", "--seeds", "1", "--samples", "5"),
        *("--json", "--out", str(tmp_path / "run")),
    )
    assert json.loads(done.stdout)["rule"] == "chatty"
    assert "hi" in done.stderr
