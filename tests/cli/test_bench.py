"""plastic bench at a small size."""

import json

import platformdirs
import pytest

from plastic_core.bench import peers_jax
from plastic_core.bench.case import EQUATION_9, RULE
from plastic_core.cli import execute
from tests.daily import slow

SMALL = ["bench", "--rounds", "1", "--scale", "0.02"]


CONTENDERS = {
    "native": ("native",),
    "eager": ("eager",),
    "autograd": ("autograd, functional", "autograd, nn.Module"),
}


@pytest.mark.parametrize("only", [slow("native"), slow(",".join(CONTENDERS))])
def test_one_json_object_with_ratios_and_what_one_round_is_worth(
    capsys, monkeypatch, tmp_path, only
):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    assert execute([*SMALL, "--only", only, "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    asked = {name: CONTENDERS[name] for name in only.split(",")}
    ours = tuple(name for name in asked if name in ("native", "eager"))
    alone = tuple(name for group, names in asked.items() if group not in ours for name in names)
    assert [(c["layers"], c["replicas"], c["rule"], c["contender"]) for c in result["cases"]] == [
        (layers, replicas, rule, name)
        for layers in (5, 10)
        for replicas, rule, names in (
            (1, RULE, ours + alone), (20, RULE, ours), (1, EQUATION_9, ours),
        )
        for name in names
    ]  # fmt: skip
    limits = result["limits"]
    assert len(limits["bytes_per_second"]) == len(limits["caches"])
    for case in result["cases"]:
        rate = case["updates_per_cpu_second"]
        if case["contender"] == "native":  # the first of its case
            native = case
        ratio = native["updates_per_cpu_second"] / case["updates_per_cpu_second"]
        for name in ("native_is_times_as_fast", "least_ratio", "greatest_ratio"):
            assert case[name] == pytest.approx(ratio)
        assert ratio == 1 or case is not native
        arithmetic = {5: 1_494_240, 10: 2_139_240}[case["layers"]]
        assert case["share_of_flop"] == (
            pytest.approx(rate * arithmetic / limits["flop_per_second"])
            if case["rule"] == RULE
            else None
        )
        assert case["share_of_bytes"] > 0
    assert result["native"]["memory"]["weights"] == 96_232_000
    assert result["native"].keys() == {"two_cores", "memory", "compile_seconds"}
    # two rules and the limits; what is compiled to see how long it takes is not kept
    assert len(list((tmp_path / "native").iterdir())) == 3
    assert result["notes"] == ["medians of 1 rounds; 9 or more make a figure to quote"]
    assert "round 1 of 1" in err


def test_the_table(capsys):
    assert execute([*SMALL, "--only", "eager"]) == 0
    out = capsys.readouterr().out
    assert "5 layers, 20 networks, oja+bp\n" in out
    assert "10 layers, 1 network, Equation 9\n" in out
    assert "Gflop/s; reads" in out
    tables = out.split("this core")[0]
    assert max(map(len, tables.splitlines())) <= 80


def test_jax_is_said_to_be_missing(capsys, monkeypatch):
    monkeypatch.setattr(peers_jax, "find_spec", lambda name: None)
    assert execute([*SMALL, "--only", "jax"]) == 2  # and nothing is left to be measured
    said = "nothing could be measured: jax: not installed; pip install 'plastic-learning[bench]'"
    assert said in capsys.readouterr().err


def test_fractions_of_rounds_are_refused(capsys):
    assert execute(["bench", "--rounds", "1.5"]) == 2
    assert capsys.readouterr().err == (
        "plastic: Invalid value for --rounds: expected a whole number, found '1.5'\n"
        "  'plastic bench --help' shows what is accepted\n"
    )


@pytest.mark.slow
def test_jax_where_it_is_installed(capsys):
    pytest.importorskip("jax")
    assert execute([*SMALL, "--only", "jax", "--json"]) == 0
    names = {c["contender"] for c in json.loads(capsys.readouterr().out)["cases"]}
    assert names == {"jax scan", "jax replica-major", "jax vmap"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "plastic: rounds = 0: expected at least 1\n"),
        (["--scale", "0"], "plastic: scale = 0: expected a number above 0 and up to 1000\n"),
        (
            ["--only", "nativ"],
            "plastic: only = nativ: there is no such contender; did you mean 'native'?\n"
            "  there are autograd, compiled, eager, jax, native\n",
        ),
    ],
)
def test_bad_input(arguments, message, capsys):
    assert execute(["bench", *arguments]) == 2
    assert capsys.readouterr().err == message
