"""How often a run is evaluated, and whether it was interrupted, changes no bit of its weights."""

import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.results import result_folder
from tests.daily import slow, some

EQUATION_9 = "0.01*fa+0.001*hebbian-error+0.001*oja+0.001*weight-decay+0.01*b-update+0.001*b-decay"
FEEDFORWARD = {"task": "digits-mlp", "options": {"sizes": [64, 19, 13, 10]}}
RECURRENT = {"task": "delayed-digits-rnn", "options": {"hidden": 14, "delay": 6}}

CASES = {
    "factors wait": {"rule": "0.01*bp+0.001*oja", **FEEDFORWARD},
    "decays wait": {"rule": EQUATION_9, **FEEDFORWARD},
    "nothing but a decay changes B": {"rule": "0.01*fa+0.02*b-decay", **FEEDFORWARD},
    "nothing but a decay changes W_1": {
        "rule": "0.01*bp+0.001*weight-decay",
        "settings": {"bp": {"layers": "2,3"}},
        **FEEDFORWARD,
    },
    "some layers wait": {
        "rule": "0.01*bp+0.001*oja-single",
        "settings": {"oja-single": {"layers": "1"}},
        **FEEDFORWARD,
    },
    "fast decays": {"rule": "0.01*fa+0.3*weight-decay", **FEEDFORWARD},
    "in double precision": {"rule": EQUATION_9, "dtype": "float64", **FEEDFORWARD},
    "mini-batches": {"rule": EQUATION_9, "batch_size": 3, **FEEDFORWARD},
    "transforms": {"rule": "0.01*bp", "transforms": ["momentum"], **FEEDFORWARD},
    "over time": {"rule": "0.01*bp+0.001*oja", **RECURRENT},
}


def trained(case, evaluations, **more):
    spec = RunSpec(
        seeds=2, samples=150, evaluations=evaluations, eval_samples=20, backend="native", **case
    )
    result = run(spec, **more)
    assert result.record["backend"] == "native"
    return result.parameters.named()


def assert_identical(ours, reference):
    for name, value in reference.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("case", some(CASES, 2))
def test_any_number_of_evaluations_gives_the_same_bits(case):
    twice = trained(CASES[case], 2)
    for evaluations in (1, 7, 62):
        assert_identical(trained(CASES[case], evaluations), twice)


@pytest.mark.parametrize("case", ["mini-batches", slow("decays wait"), slow("over time")])
def test_a_run_that_is_resumed_has_the_bits_of_one_that_is_not(case, tmp_path, monkeypatch):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    interrupted = []

    def stop(curves):
        if curves.done in (1, 3) and curves.done not in interrupted:
            interrupted.append(curves.done)
            raise KeyboardInterrupt

    out = {"out": tmp_path / "run", "on_point": stop}
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            trained(CASES[case], 7, resume=resume, **out)
    resumed = trained(CASES[case], 7, resume=True, **out)
    assert interrupted == [1, 3]
    assert_identical(resumed, trained(CASES[case], 2))
