"""Bad input: exit code 2, one message on standard error, no traceback, nothing on standard output."""

import pytest

from plastic_core.cli import execute
from tests.plugins.packages import rule_source
from tests.processes import plastic

RULES = "anti-hebbian, b-decay, b-update, bp, dfa, fa, hebbian, hebbian-error, kolen-pollack, oja, oja-single, sanger, sign-symmetric, weight-decay"
WHERE = "  'plastic plugins' shows where each comes from"
HELP = "  an expression is a sum of rules with optional numbers: 0.01*bp + oja"

CASES = {
    "unknown command": (
        ["rum"],
        'Unknown command "rum". Did you mean "run"? Available commands: run, sweep, compare, reproduce, report, predict, export, search, ...'
        "\n  'plastic --help' shows what is accepted",
    ),
    "unknown flag": (
        ["run", "--sedes", "3"],
        "Unknown option: --sedes. Did you mean --seeds?\n  'plastic run --help' shows what is accepted",
    ),
    "flag without a value": (
        ["run", "--seeds"],
        'Command "run" parameter --seeds requires an argument.\n'
        "  'plastic run --help' shows what is accepted",
    ),
    "a word too many": (
        ["tasks", "mnist-mlp"],
        "Unused Tokens: ['mnist-mlp'].\n  'plastic tasks --help' shows what is accepted",
    ),
    "more seeds than memory": (["run", "--seeds", "9999999"], None),
    "more samples than memory": (["run", "--samples", "999999999999"], None),
    "unknown rule": (
        ["run", "--rule", "ojaa+bp"],
        f"there is no rule 'ojaa'; did you mean 'oja'?\n  installed rules: {RULES}\n{WHERE}",
    ),
    "unknown rule to show": (
        ["rules", "show", "hebian"],
        f"there is no rule 'hebian'; did you mean 'hebbian'?\n  installed rules: {RULES}\n{WHERE}",
    ),
    "a transform as a rule": (
        ["run", "--rule", "bp+momentum"],
        "there is no rule 'momentum'; momentum is of the kind transform, written --transform momentum\n"
        f"  installed rules: {RULES}\n{WHERE}",
    ),
    "a setting in an expression": (
        ["run", "--rule", "0.01*bp.layer=2"],
        "rule expression, position 8: expected '+' or the end, found '.'\n"
        "  0.01*bp.layer=2\n         ^\n"
        "  an expression is a sum of rules with optional numbers: 0.01*bp + oja; a setting is given by "
        "--set bp.NAME=VALUE, in a stage also bp.layers=5",
    ),
    "unknown task": (
        ["run", "--task", "mnst-mlp"],
        "there is no task 'mnst-mlp'; did you mean 'mnist-mlp'?\n"
        "  installed tasks: delayed-digits-rnn, delayed-mnist-rnn, delayed-xor, digits-attention, "
        "digits-cnn, digits-fewshot, digits-mlp, emnist-fewshot, mnist-attention, mnist-cnn, "
        "mnist-fewshot, mnist-mlp, own-data, permuted-digits-mlp, permuted-mnist-mlp, "
        "sine-regression\n"
        f"{WHERE}",
    ),
    "malformed expression": (
        ["run", "--rule", "oja++bp"],
        "rule expression, position 5: expected a number or the name of a rule, found '+'\n"
        f"  oja++bp\n      ^\n{HELP}",
    ),
    "code-like expression": (
        ["run", "--rule", "__import__('os').getcwd()"],
        "rule expression, position 1: expected a number or the name of a rule, found '_'\n"
        f"  __import__('os').getcwd()\n  ^\n{HELP}",
    ),
    "a term twice": (
        ["run", "--rule", "bp+bp"],
        "rule expression, position 4: 'bp' stands twice in 'bp+bp'; write it once, with one coefficient",
    ),
    "negative theta": (
        ["run", "--rule", "-1*bp"],
        "theta of 'bp' = -1.0: expected a finite number of at least 0",
    ),
    "theta that is not finite": (
        ["run", "--set", "bp.theta=Infinity"],
        "theta of 'bp' = inf: expected a finite number of at least 0",
    ),
    "theta that is nan": (
        ["run", "--set", "bp.theta=nan"],
        "theta of 'bp' = 'nan': expected a finite number of at least 0",
    ),
    "unknown set": (
        ["run", "--set", "ojo.theta=1"],
        "setting of 'ojo': it is no rule, transform or probe of this run; did you mean 'oja'?\n"
        "  this run has bp, oja",
    ),
    "unknown field of a set": (
        ["run", "--set", "oja.thet=1"],
        "setting of 'oja': there is no 'thet' (value 1); did you mean 'theta'?\n  accepted are layers, theta",
    ),
    "malformed set": (
        ["run", "--set", "theta=1"],
        "--set theta=1: expected RULE.NAME=VALUE, such as oja.theta=1e-4",
    ),
    "zero seeds": (["run", "--seeds", "0"], "seeds = '0': input should be greater than 0"),
    "negative samples": (
        ["run", "--samples", "-5"],
        "samples = '-5': input should be greater than 0",
    ),
    "samples in words": (
        ["run", "--samples", "many"],
        "samples = 'many': input should be a valid integer, unable to parse string as an integer",
    ),
    "sizes that do not parse": (
        ["run", "--sizes", "64,x,10"],
        "options of digits-mlp: sizes = '64,x,10': expected whole numbers separated by commas, "
        "such as 784,100,10",
    ),
    "sizes that do not fit the data": (
        ["run", "--sizes", "784,20,10"],
        "sizes 784-20-10 do not fit the data of digits-mlp, which has 64 inputs and 10 classes; "
        "write sizes 64,20,10",
    ),
    "both bp and fa": (
        ["run", "--rule", "bp+fa"],
        "bp and fa both propagate the error, and a run has one error pass; keep one of them",
    ),
    "no error pass": (
        ["run", "--rule", "hebbian-error"],
        "hebbian-error read the error, but no rule of the expression propagates it; add one of bp, dfa, fa, kolen-pollack, sign-symmetric",
    ),
    "unknown transform": (
        ["run", "--transform", "weight-bound"],
        "there is no transform 'weight-bound'; did you mean 'weight-bounds'?\n"
        f"  installed transforms: adam, clip-update, momentum, rmsprop, weight-bounds\n{WHERE}",
    ),
    "a transform twice": (
        ["run", "--transform", "clip-update", "--transform", "clip-update"],
        "transforms clip-update, clip-update: one of them stands twice",
    ),
    "layers without end": (
        ["run", "--set", "bp.layers=1-99999999999"],
        "layers of 'bp' = '1-99999999999': expected layers from 1 to 5, such as 1-5 or 1,5, "
        "or their names: dense1, dense2, dense3, dense4, readout",
    ),
    "a parameter that is not finite": (
        ["run", "--transform", "weight-bounds", "--set", "weight-bounds.low=-Infinity"],
        "setting of 'weight-bounds': low = -inf: expected a finite number",
    ),
    "too many threads": (
        ["run", "--threads", "100000"],
        "threads = 100000: expected 1 to 1024",
    ),
    "unknown device": (["run", "--device", "warp"], None),
    "device that is not there": (["run", "--device", "cuda:99"], None),
    "device that holds no numbers": (["run", "--device", "meta"], None),
    "resume without a folder": (
        ["run", "--resume"],
        "--resume needs --out DIR, the folder of the run to continue",
    ),
    "spec that is not there": (
        ["run", "nowhere.toml"],
        "nowhere.toml: cannot be read: No such file or directory",
    ),
    "a rule in place of a spec": (
        ["run", "oja+bp"],
        "oja+bp: a spec is a .toml or .json file; a rule is written --rule oja+bp",
    ),
    "a rule with spaces in place of a spec": (
        ["run", "0.1*bp + oja"],
        "0.1*bp + oja: a spec is a .toml or .json file; a rule is written --rule '0.1*bp + oja'",
    ),
    "a folder in place of a spec": (
        ["run", "."],
        ".: a spec is a .toml or .json file; the record of a run is in its folder: run.json",
    ),
    "a sweep that is not there": (
        ["compare", "nowhere"],
        "nowhere/sweep.json: is no record of a sweep (No such file or directory); name a folder that "
        "'plastic sweep' wrote",
    ),
    "a decimal comma": (
        ["run", "--rule", "0,01*bp"],
        "rule expression, position 2: expected '*' and the name of a rule after the number, found ','\n"
        f"  0,01*bp\n   ^\n{HELP}; a decimal point is a point: 0.01",
    ),
    "a short name misspelt": (
        ["run", "--rule", "oja+bb"],
        f"there is no rule 'bb'; did you mean 'bp'?\n  installed rules: {RULES}\n{WHERE}",
    ),
    "a difference": (
        ["run", "--rule", "bp-oja"],
        "there is no rule 'bp-oja'; rules are added: write bp+oja\n"
        "  to take away a rule whose theta may be negative, write + -1*oja",
    ),
    "a learning rate": (
        ["run", "--learning-rate", "0.3"],
        "Unknown option: --learning-rate. Each rule has a rate of its own, theta: write --set "
        "bp.theta=0.3\n  'plastic run --help' shows what is accepted",
    ),
    "a learning rate of no number": (
        ["run", "--lr=fast"],
        "Unknown option: --lr=fast. Each rule has a rate of its own, theta: write "
        "--set bp.theta=0.1\n  'plastic run --help' shows what is accepted",
    ),
    "two faults": (
        ["run", "--seeds", "0", "--samples", "x"],
        "the spec has 2 faults:\n  seeds = '0': input should be greater than 0\n"
        "  samples = 'x': input should be a valid integer, unable to parse string as an integer",
    ),
    "threads": (["run", "--threads", "0"], "threads = 0: expected 1 to 1024"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, message = CASES[case]
    assert execute(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.startswith("plastic: ")
    if message is not None:
        assert captured.err == f"plastic: {message}\n"
    elif "memory" in case:
        assert f"{arguments[1][2:]} = {arguments[2]} " in captured.err
        assert captured.err.endswith(" GB; ask for fewer seeds or samples\n")
    else:
        assert captured.err.startswith(
            f"plastic: device = '{arguments[-1]}': cannot be used here ("
        )
        assert captured.err.endswith(
            "); write cpu, or cuda where PyTorch was installed with it and there is a GPU\n"
        )
    assert not (tmp_path / "runs").exists(), "a mistake must leave no folder behind"


def test_a_file_says_what_it_defines(capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(rule_source())
    assert execute(["run", "--plugin", str(file), "--rule", "bp+other"]) == 2
    listed = ", ".join(sorted([*RULES.split(", "), "mine"]))
    assert capsys.readouterr().err == (
        f"plastic: there is no rule 'other'\n  --plugin {file} defines the rule 'mine'\n"
        f"  installed rules: {listed}\n{WHERE}\n"
    )


def test_no_data_and_no_network(tmp_path):
    nobody = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nobody)
    done = plastic(
        *(
            "run",
            "--task",
            "mnist-mlp",
            "--out",
            str(tmp_path / "run"),
            "--data-dir",
            str(tmp_path / "data"),
        ),
        **proxies,
        no_proxy="",
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (
        f"plastic: no data: mnist is not in {tmp_path}/data/MNIST/raw, and the download failed"
        in done.stderr
    )
    assert "use --task digits-mlp, which needs no download" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_an_output_folder_that_cannot_be_written(where, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    out = file if where == "a file" else file / "run"
    assert execute(["run", "--samples", "10", "--seeds", "1", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    if where == "a file":
        assert error == f"plastic: --out {out}: is a file; name a folder that is new or empty\n"
    else:
        assert error == (
            f"plastic: {out}: cannot be written: Not a directory; "
            "free or allow it, or give another folder with --out\n"
        )


@pytest.mark.parametrize("line", ["plugins = 3", "task = 5", "seeds = 'x'", "options = 3"])
def test_a_spec_file_with_a_field_of_a_wrong_type(line, tmp_path, capsys):
    (tmp_path / "spec.toml").write_text(line)
    assert execute(["run", str(tmp_path / "spec.toml")]) == 2
    field = line.split(" ")[0]
    assert capsys.readouterr().err.startswith(f"plastic: {field} = ")


def test_an_output_folder_that_holds_another_run(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["run", "--samples", "10", "--seeds", "1", "--out", str(out)]
    assert execute(arguments) == 0
    before = (out / "run.json").read_bytes()
    capsys.readouterr()
    assert execute(arguments) == 2
    assert capsys.readouterr().err == (
        f"plastic: --out {out}: holds a run already; add --resume to continue it, or give another folder\n"
    )
    assert execute([*arguments, "--resume", "--rule", "bp"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"plastic: --out {out}: holds another run, so it cannot be resumed:\n  rule: "
    )
    assert (out / "run.json").read_bytes() == before


def test_an_output_folder_with_other_files(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    assert execute(["run", "--samples", "10", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"plastic: --out {tmp_path}: holds files that are no run (thesis.tex); "
        "name a folder that is new or empty\n"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"spec": 1, "state": "finished"}', '{"spec": {}}'])
def test_a_damaged_record_is_explained(content, tmp_path, capsys):
    (tmp_path / "run.json").write_text(content)
    assert execute(["run", "--samples", "10", "--out", str(tmp_path), "--resume"]) == 2
    assert f"plastic: {tmp_path}/run.json: is no record of a run" in capsys.readouterr().err


def test_a_mistake_is_found_before_torch_is_loaded():
    done = plastic("run", "--rule", "nonsense", fresh=True, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2
    assert " torch\n" not in done.stderr
