"""The observer tensorboard: what it writes, read by TensorBoard's own library."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from plastic_core import run
from plastic_core.cli import execute
from plastic_core.results import result_folder
from plastic_rules.observers.tensorboard import TensorBoard
from tests.observers.watched import FLAGS, small


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def scalars(events, tag):
    return {event.step: event.value for event in events.Scalars(tag)}


def hparams(events, tag):
    content = events.SummaryMetadata(tag).plugin_data.content
    return HParamsPluginData.FromString(content)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Return a run with probes, and the events that are in its folder."""
    out = tmp_path_factory.mktemp("run")
    spec = small(rule="oja+bp", probes=("weight-norm", "update-norm", "filters"))
    result = run(spec, out=out, observers=["tensorboard"])
    return result, read(out / "tensorboard")


def test_scalars_are_those_of_the_curves(watched):
    result, events = watched
    for name in ("accuracy", "loss"):
        values = result.curves[name]
        for line, expected in (("mean", values.mean("seed")), ("lowest", values.min("seed")),
                               ("highest", values.max("seed"))):  # fmt: skip
            found = scalars(events, f"{name}/{line}")
            assert list(found) == values["step"].values.tolist()
            assert np.array_equal([*found.values()], expected.values.astype(np.float32)), (
                name,
                line,
            )


def test_probes_are_means_over_the_networks_and_pictures_are_left_out(watched):
    result, events = watched
    norm, shares = (
        result.curves["weight_norm"].mean("seed"),
        result.curves["rule_update_norm"].mean("seed"),
    )
    for layer in (1, 2):
        found = [*scalars(events, f"weight_norm/{layer}").values()]
        assert np.allclose(found, norm.sel(layer=layer), rtol=1e-6)
        for number, rule in enumerate(("oja", "bp"), start=1):
            tag = "/".join(str({"layer": layer, "rule": number}[dim]) for dim in shares.dims[1:])
            found = [*scalars(events, f"rule_update_norm/{tag}").values()]
            assert np.allclose(found, shares.sel(layer=layer, rule=rule), rtol=1e-6)
    measured = {tag.split("/")[0] for tag in events.Tags()["scalars"]}
    assert measured == {
        "accuracy",
        "loss",
        "weight_norm",
        "orthonormality_gap",
        "update_norm",
        "rule_update_norm",
    }


def test_spec_hyperparameters_band_and_figure(watched):
    result, events = watched
    (text,) = events.Tensors("spec/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert all(line.startswith("    ") for line in lines), "it is shown as it is written"
    assert json.loads("\n".join(lines)) == result.record["spec"]
    begun = hparams(events, "_hparams_/session_start_info").session_start_info.hparams
    assert begun["rule"].string_value == "oja+bp"
    assert begun["samples"].number_value == 80
    assert (
        begun["settings.bp.theta"].number_value == result.record["spec"]["settings"]["bp"]["theta"]
    )
    (metric,) = hparams(events, "_hparams_/experiment").experiment.metric_infos
    assert metric.name.tag == "accuracy/mean"
    assert hparams(events, "_hparams_/session_end_info").session_end_info.status == 1  # success
    (layout,) = events.Tensors("custom_scalars__config__")
    charts = Layout.FromString(layout.tensor_proto.string_val[0]).category[0].chart
    assert [chart.title for chart in charts] == ["accuracy", "loss"]
    (band,) = charts[0].margin.series
    assert (band.value, band.lower, band.upper) == (
        "accuracy/mean",
        "accuracy/lowest",
        "accuracy/highest",
    )
    (image,) = events.Images("learning_curve")
    assert image.encoded_image_string == (result.run_dir / "learning_curve.png").read_bytes()
    assert image.step == 80
    assert image.width > image.height > 100


def test_a_loss_that_does_not_exist_is_not_written(tmp_path):
    result = run(small(rule="1e30*bp"), out=tmp_path, observers=["tensorboard"])
    assert result.record["result"]["notes"][-1].startswith("evaluations use")
    events = read(tmp_path / "tensorboard")
    assert events.Tags()["scalars"] == ["accuracy/mean", "accuracy/lowest", "accuracy/highest"]


def test_another_folder_and_none(tmp_path, capsys):
    command = ["run", *FLAGS, "--observe", "tensorboard", "--out", str(tmp_path / "run")]
    assert execute([*command, "--set", f"tensorboard.folder={tmp_path / 'logs'}"]) == 0
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert len(scalars(read(tmp_path / "logs"), "accuracy/mean")) == 4
    run(small(), observers=[TensorBoard(folder=str(tmp_path / "more"))])
    assert len(scalars(read(tmp_path / "more"), "accuracy/mean")) == 4
    capsys.readouterr()
    run(small(), observers=["tensorboard"])
    assert capsys.readouterr().err == (
        "note: observer tensorboard failed at on_plan (PlasticError: the run has no folder; give the "
        "observer one, folder=DIR) and was switched off; the run goes on\n"
    )


def test_a_run_that_goes_on_goes_on_in_the_same_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))

    def stop(curves):
        if curves.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), out=tmp_path, on_point=stop, observers=["tensorboard"])
    begun = scalars(read(tmp_path / "tensorboard"), "accuracy/mean")
    assert list(begun) == [20, 40, 60], "it can be watched while the run goes on"
    result = run(small(), out=tmp_path, resume=True, observers=["tensorboard"])
    found = scalars(read(tmp_path / "tensorboard"), "accuracy/mean")
    expected = result.curves["accuracy"].mean("seed")
    assert list(found) == [20, 40, 60, 80]
    assert np.array_equal([*found.values()], expected.values.astype(np.float32))


@pytest.mark.parametrize("folder", ["a-file", "a-file/below"])
def test_a_place_that_cannot_be_written_harms_no_run(tmp_path, capsys, folder):
    (tmp_path / "a-file").touch()
    command = ["run", *FLAGS, "--observe", "tensorboard", "--out", str(tmp_path / "run"), "--json"]
    assert execute([*command, "--set", f"tensorboard.folder={tmp_path / folder}"]) == 0
    out, err = capsys.readouterr()
    assert "note: observer tensorboard failed at on_plan (" in err
    assert "and was switched off; the run goes on" in json.loads(out)["notes"][-1]


class FullDisk(TensorBoard):
    """Has its file on a disk that is full after on_plan."""

    def on_plan(self, run):
        super().on_plan(run)
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), self._file.fileno())


def test_a_disk_that_is_full_is_noted_where_it_is_full(tmp_path):
    observer = FullDisk()
    result = run(small(), out=tmp_path, observers=[observer])
    assert result.record["notes"][-1] == (
        "observer tensorboard failed at on_point (OSError: [Errno 28] No space left on device) and "
        "was switched off; the run goes on"
    )
    assert read(tmp_path / "tensorboard").Tags()["scalars"] == []


def test_without_the_library_the_message_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    out = str(tmp_path / "run")
    assert execute(["run", *FLAGS, "--observe", "tensorboard", "--out", out]) == 2
    assert capsys.readouterr().err == (
        "plastic: the observer 'tensorboard' needs the module tensorboard, which is not installed; "
        "install it: pip install 'plastic-learning[tensorboard]'\n"
    )
    assert not (tmp_path / "run").exists()
    assert execute(["plugins"]) == 0
    assert "failed" not in capsys.readouterr().out
