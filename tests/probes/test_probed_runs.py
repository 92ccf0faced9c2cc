"""Probes in whole runs: they change nothing, and are kept wherever curves are kept."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from plastic_core import PlasticError, RunSpec, Store, SweepSpec, run, sweep, train_arms
from plastic_core.api import Measure
from plastic_core.cli import execute
from plastic_core.experiments.sweeping.arms import expand
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results import result_folder
from tests.probes.snapshots import ALL, SMALL, probe_of

CHEAP = ("residual", "update-norm", "alignment")


def test_variables_have_dimensions_units_and_descriptions():
    curves = run(RunSpec(rule="oja+fa", seeds=3, probes=ALL, **SMALL)).curves
    dims = {
        "residual": ("seed", "step", "layer"),
        "part_accuracy": ("seed", "step", "part"),
        "relative_residual": ("seed", "step", "layer"),
        "activation_norm": ("seed", "step", "layer"),
        "activation_norm_cv": ("seed", "step", "layer"),
        "explained_variance": ("seed", "layer", "component"),
        "components_95": ("seed", "layer"),
        "rule_update_norm": ("seed", "step", "rule", "layer"),
        "update_norm": ("seed", "step", "layer"),
        "weight_norm": ("seed", "step", "layer"),
        "orthonormality_gap": ("seed", "step", "layer"),
        "feedback_angle": ("seed", "step", "layer"),
        "error_angle": ("seed", "step", "layer"),
        "reconstruction": ("seed", "layer", "point", "pixel"),
        "reconstruction_input": ("seed", "point", "pixel"),
        "filter": ("seed", "unit", "channel", "row", "column"),
    }
    assert {n: v.dims for n, v in curves.items() if "probe" in v.attrs} == dims
    assert curves["layer"].to_numpy().tolist() == [1, 2, 3]
    assert curves["rule"].to_numpy().tolist() == ["oja", "fa"]
    assert curves.sizes["component"] == 12
    assert curves["error_angle"].attrs == {
        "units": "degree",
        "long_name": "mean angle between e_l and the error of backprop",
        "probe": "alignment",
        "comment": "NaN from divergence on",
    }
    assert all(np.isfinite(curves[name]).any() for name in dims)


def test_settings_of_probes():
    spec = {"rule": "bp", "seeds": 1, "probes": ("reconstruction", "residual"), **SMALL}
    settings = {"reconstruction": {"points": 2, "when": "every"}, "residual": {"when": "last"}}
    curves = run(RunSpec(settings=settings, probe_samples=3, **spec)).curves
    assert curves["reconstruction"].dims == ("seed", "step", "layer", "point", "pixel")
    assert curves["reconstruction"].shape == (1, 2, 3, 2, 64)
    assert curves["residual"].dims == ("seed", "layer")
    result = run(RunSpec(probe_samples=10**6, **spec))
    note = "probes use 250 points, all that are evaluated, in place of 1000000"
    assert note in result.record["notes"]


def test_a_diverged_network_is_not_measured():
    spec = RunSpec(
        rule="bp+oja", settings={"oja": {"theta": 1e6}}, seeds=1, probes=("residual",), **SMALL
    )
    result = run(spec)
    assert result.summary["diverged"]
    assert np.isnan(result.curves["residual"]).all()


class KilledError(Exception):
    pass


def test_a_killed_run_resumes_to_the_same_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    spec = RunSpec(rule="oja+fa", seeds=2, probes=ALL, **SMALL)
    undisturbed = run(spec)

    def kill(curves):
        raise KilledError

    with pytest.raises(KilledError):
        run(spec, out=tmp_path, on_point=kill)
    resumed = run(spec, out=tmp_path, resume=True)
    assert resumed.record["notes"][-1] == "resumed at sample 30"
    assert resumed.curves.equals(undisturbed.curves)
    stored = run(spec, out=tmp_path, resume=True, on_plan=lambda _: 1 / 0)
    assert stored.curves.equals(undisturbed.curves)
    assert [probe["name"] for probe in stored.record["probes"]] == list(ALL)


def test_the_store_gives_back_what_was_measured(tmp_path):
    store = Store(tmp_path)
    spec = RunSpec(rule="oja+fa", seeds=2, probes=ALL, **SMALL)
    trained = run(spec, store=store)
    again = run(spec, store=store, reuse=True)
    assert again.record["backend_reason"] == "from the store"
    xr.testing.assert_identical(again.curves, trained.curves)
    # without probes the same networks are there; with others they are not
    plain = run(spec.model_copy(update={"probes": ()}), store=store, reuse=True)
    assert plain.record["backend_reason"] == "from the store"
    assert set(plain.curves.data_vars) == {"accuracy", "loss", "diverged_at"}
    for change in ({"probes": CHEAP}, {"probe_samples": 50}):
        other = run(spec.model_copy(update=change), store=store, reuse=True)
        assert other.record["backend_reason"] != "from the store", change


def test_measures_of_the_store_that_do_not_fit_are_refused(tmp_path):
    store = Store(tmp_path)
    spec = RunSpec(rule="bp", seeds=1, probes=("residual",), **SMALL)
    run(spec, store=store)
    changes = {
        "gone": lambda probes: probes.pop("residual"),
        "another shape": lambda probes: probes["residual"].update(shape=[6]),
        "not filled": lambda probes: probes["residual"].update(shape=[10**12]),
    }
    [file] = [f for f in store.files() if "probes" in store.read(f)[0]]
    whole = file.read_text()
    for name, change in changes.items():
        content = json.loads(whole)
        change(content["result"]["probes"])
        file.write_text(json.dumps(content))
        message = "do not fill the shape" if name == "not filled" else "by the probes of this run"
        with pytest.raises(PlasticError, match=message):
            run(spec, store=store, reuse=True)


def test_an_arm_of_many_thetas_reads_its_measures_from_the_store(tmp_path):
    store = Store(tmp_path)
    base = RunSpec(seeds=2, probes=CHEAP, **SMALL)
    spec = SweepSpec(rules=("oja+bp",), grid={"oja": (1e-4, 1e-2)}, base=base)
    first = sweep(spec, store, workers=0)
    assert first.progress.trained == 4
    found = train_arms(expand(spec, Catalogue()), store, workers=0)
    assert (found.progress.found, found.progress.trained) == (4, 0)
    for trained, read, theta in zip(first.arms, found.arms, (1e-4, 1e-2), strict=True):
        curves = read.curves()
        xr.testing.assert_identical(trained.curves(), curves)
        alone = run(base.model_copy(update={"rule": f"{theta}*oja + bp"})).curves
        for name in ("residual", "relative_residual", "update_norm", "rule_update_norm"):
            assert alone[name].equals(curves[name])
        grown = curves["rule_update_norm"].sel(rule="oja").mean()
        assert grown == pytest.approx(float(alone["rule_update_norm"].sel(rule="oja").mean()))


PAIR = {"measures": {"a": Measure(long_name="a", dims=("unit",)), "b": Measure(long_name="b")}}

FAULTY = {
    "raises": (
        lambda n: 1 / 0,
        {},
        "raised ZeroDivisionError: division by zero; expected a result",
    ),
    "no dict": (
        lambda n: n.targets,
        {},
        "returned a value of type Tensor; expected a dict with mine",
    ),
    "other names": (lambda n: {"my": 0}, {}, "returned the measures my; expected mine"),
    "no numbers": (
        lambda n: {"mine": [["x"] * 3] * 2},
        {},
        "returned 'mine' as a value of type list; ",
    ),
    "wrong shape": (
        lambda n: {"mine": n.targets},
        {},
        "returned 'mine' of shape [100, 10]; expected [R, layer], here R 2, layer 3",
    ),
    "wrong size": (
        lambda n: {"a": [[1.0]] * 2, "b": [[1.0, 2.0]] * 2},
        PAIR,
        "returned 'b' of shape [2, 2]; expected [R, layer], here R 2, layer 3",
    ),
    "not for every network": (
        lambda n: {"mine": torch.zeros(1, 3)},
        {},
        "returned 'mine' of shape [1, 3]; expected [R, layer], here R 2, layer 3",
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_probe_is_named_before_training_starts(fault, tmp_path):
    measure, fields, message = FAULTY[fault]
    spec = RunSpec(rule="bp", seeds=1, probes=("mine",), **SMALL)
    with pytest.raises(PlasticError) as caught:
        run(spec, probes=[probe_of(measure, **fields)], out=tmp_path / "run")
    assert str(caught.value).startswith(f"the probe 'mine': plastic_measure {message}")
    assert not (tmp_path / "run").exists()


def test_a_dimension_may_not_be_another_ones_variable():
    mine = probe_of(
        lambda n: {"component": [1.0, 1.0]}, measures={"component": Measure(long_name="c", dims=())}
    )
    spec = RunSpec(rule="bp", seeds=1, probes=("explained-variance", "mine"), **SMALL)
    with pytest.raises(
        PlasticError, match="'component' is a dimension of one probe and a variable"
    ):
        run(spec, probes=[mine])


def test_a_probe_of_ones_own_measures_what_it_likes(tmp_path):
    def measure(n):
        cosine = [
            torch.nn.functional.cosine_similarity(
                layer["bp"].dense().flatten(2), layer["oja"].dense().flatten(2), dim=-1
            ).mean(-1)
            for layer in n.increments
        ]
        return {"mine": torch.stack(cosine, 1)}

    spec = RunSpec(rule="bp+oja", seeds=2, probes=("mine",), **SMALL)
    curves = run(spec, probes=[probe_of(measure)], store=Store(tmp_path)).curves
    assert curves["mine"].dims == ("seed", "step", "layer")
    assert (abs(curves["mine"]) <= 1).all()
    assert not list(Store(tmp_path).files())  # what is not installed is not stored


BAD = {
    "unknown": (
        ["--probe", "residuals"],
        "there is no probe 'residuals'; did you mean 'residual'?",
    ),
    "twice": (
        ["--probe", "residual", "--probe", "residual"],
        "probes residual, residual: one of them",
    ),
    "when": (
        ["--probe", "residual", "--set", "residual.when=never"],
        "when of 'residual' = 'never': expected every or last",
    ),
    "setting": (
        ["--probe", "residual", "--set", "residual.points=3"],
        "setting of 'residual': there is no 'points' (value 3)\n  accepted are when",
    ),
    "not chosen": (
        ["--set", "residual.when=last"],
        "setting of 'residual': it is no rule, transform or probe of this run",
    ),
    "points": (["--probe", "residual", "--probe-samples", "0"], "probe_samples = '0'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_on_the_command_line_is_explained(case, capsys):
    arguments, message = BAD[case]
    assert execute(["run", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"plastic: {message}")


def test_all_probes_from_the_command_line(tmp_path, capsys):
    flags = ["--rule", "fa", "--seeds", "1", "--samples", "30", "--evaluations", "1"]
    folder = tmp_path / "run"
    assert (
        execute(["run", *flags, "--sizes", "64,8,10", "--probe", "all", "--out", str(folder)]) == 0
    )
    curves = xr.load_dataset(folder / "curves.nc")
    assert {v.attrs["probe"] for v in curves.values() if "probe" in v.attrs} == set(ALL)
    assert RunSpec.from_file(folder / "run.json").probes == tuple(sorted(ALL))


def test_the_file_of_curves_is_what_xarray_would_write(tmp_path):
    spec = RunSpec(
        rule="fa", seeds=2, samples=30, evaluations=2, probes=ALL,
        options={"sizes": "64,8,10"}, settings={"fa": {"theta": "cosine(0.1)"}},
    )  # fmt: skip
    curves = run(spec, out=tmp_path / "run").curves
    curves.to_netcdf(tmp_path / "expected.nc", engine="netcdf4")
    made, expected = (xr.load_dataset(tmp_path / name) for name in ("run/curves.nc", "expected.nc"))
    assert made.identical(curves)
    assert made.identical(expected)
    for name in expected.variables:
        encodings = [{**one[name].encoding, "source": None} for one in (made, expected)]
        assert str(encodings[0]) == str(encodings[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"measures": {}}, "measures"),
        ({"measures": {"loss": Measure(long_name="x")}}, "the names ['loss'] belong to the core"),
        ({"measures": {"My-norm": Measure(long_name="x")}}, "measures"),
        ({"when": "never"}, "when = 'never'"),
    ],
)
def test_a_bad_specification_is_explained(fields, message):
    with pytest.raises(PlasticError) as caught:
        probe_of(lambda n: {}, **fields)
    assert str(caught.value).startswith("ProbeSpec: ")
    assert message in str(caught.value)


def test_two_probes_that_measure_the_same_are_refused():
    mine = probe_of(lambda n: {}, measures={"residual": Measure(long_name="x")})
    spec = RunSpec(rule="bp", seeds=1, probes=("residual", "mine"), **SMALL)
    with pytest.raises(PlasticError) as caught:
        run(spec, probes=[mine])
    assert str(caught.value) == (
        "the probes 'residual' and 'mine' both measure 'residual'; keep one of them"
    )
