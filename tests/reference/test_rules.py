"""Every built-in rule against its slow NumPy loop, over 50 steps."""

import numpy as np
import pytest
import torch

from plastic_core.plugins.catalogue import Catalogue
from tests.building import build_engine, random_points
from tests.reference import slow

SIZES = (14, 9, 7, 5)

# expression, the slow terms, how the error goes back, settings
CASES = {
    "bp": ("0.05*bp", [(slow.bp, 0.05)], "W", {}),
    "fa": ("0.05*fa", [(slow.fa, 0.05)], "B", {}),
    "oja": ("0.02*oja", [(slow.oja, 0.02)], "W", {}),
    "hebbian": ("1e-3*hebbian", [(slow.hebbian, 1e-3)], "W", {}),
    "hebbian-error": (
        "0.05*bp + 0.03*hebbian-error",
        [(slow.bp, 0.05), (slow.hebbian_error, 0.03)],
        "W",
        {},
    ),
    "weight-decay": ("0.01*weight-decay", [(slow.weight_decay, 0.01)], "W", {}),
    "b-update": ("0.05*fa + 0.04*b-update", [(slow.fa, 0.05), (slow.b_update, 0.04)], "B", {}),
    "b-update printed": (
        "0.05*fa + 0.04*b-update",
        [(slow.fa, 0.05), (slow.b_update_printed, 0.04)],
        "B",
        {"b-update": {"printed": True}},
    ),
    "b-decay": ("0.05*fa + 0.01*b-decay", [(slow.fa, 0.05), (slow.b_decay, 0.01)], "B", {}),
    "sanger": ("0.02*sanger", [(slow.sanger, 0.02)], "W", {}),
    "oja-single": ("0.02*oja-single", [(slow.oja_single, 0.02)], "W", {}),
    "anti-hebbian": ("1e-3*anti-hebbian", [(slow.anti_hebbian, 1e-3)], "W", {}),
    "dfa": ("0.05*dfa", [(slow.dfa, 0.05)], "output", {}),
    "sign-symmetric": ("0.05*sign-symmetric", [(slow.sign_symmetric, 0.05)], "signs", {}),
    "kolen-pollack": (
        "0.05*kolen-pollack",
        [(slow.kolen_pollack, 0.05)],
        "B",
        {"kolen-pollack": {"decay": 0.2}},
    ),
    "oja+bp": ("0.01*oja + 0.05*bp", [(slow.oja, 0.01), (slow.bp, 0.05)], "W", {}),
    "equation 9": (
        "0.01*fa + 0.004*hebbian-error + 0.005*oja + 0.002*weight-decay + 0.008*b-update + 0.003*b-decay",
        [
            (slow.fa, 0.01),
            (slow.hebbian_error, 0.004),
            (slow.oja, 0.005),
            (slow.weight_decay, 0.002),
            (slow.b_update, 0.008),
            (slow.b_decay, 0.003),
        ],
        "B",
        {},
    ),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_rule_equals_its_numpy_loop_after_50_steps(case, batch):
    expression, terms, through, settings = CASES[case]
    seeds = 3
    engine, _, before = build_engine(
        expression, SIZES, seeds=seeds, dtype="float32", settings=settings
    )
    x, target = random_points(seeds, 50, batch, SIZES, torch.float32)
    for step in range(50):
        engine.step(x[step], target[step])
    after = engine.parameters.named()
    for replica in range(seeds):
        weights = [before[f"weight.{i}"][replica].double().numpy().copy() for i in (1, 2, 3)]
        feedback = [np.zeros(w.shape[::-1]) for w in weights]
        if "feedback.1" in before:
            feedback = [before[f"feedback.{i}"][replica].double().numpy().copy() for i in (1, 2, 3)]
        start = [w.copy() for w in weights + feedback]
        for step in range(50):
            slow.step(
                weights,
                feedback,
                terms,
                x[step, replica].double().numpy(),
                target[step, replica].double().numpy(),
                through,
            )
        assert any(
            np.abs(a - b).max() > 1e-3 for a, b in zip(start, weights + feedback, strict=True)
        )
        for i in (1, 2, 3):
            np.testing.assert_allclose(
                after[f"weight.{i}"][replica], weights[i - 1], rtol=0, atol=1e-6
            )
            if "feedback.1" in before:
                np.testing.assert_allclose(
                    after[f"feedback.{i}"][replica], feedback[i - 1], rtol=0, atol=1e-6
                )


def test_every_built_in_rule_has_a_case():
    built_in = {e.name for e in Catalogue().entries("rule") if e.distribution == "plastic-learning"}
    assert built_in == {case.split(" ")[0] for case in CASES} - {"oja+bp", "equation"}


def test_layers_setting_restricts_a_rule():
    engine, _, before = build_engine(
        "0.05*bp + 0.01*oja", SIZES, settings={"oja": {"layers": "2-3"}, "bp": {"layers": 3}}
    )
    x, target = random_points(1, 1, 1, SIZES)
    engine.step(x[0], target[0])
    after = engine.parameters.named()
    changed = [i for i in (1, 2, 3) if not torch.equal(before[f"weight.{i}"], after[f"weight.{i}"])]
    assert changed == [2, 3]


def test_order_of_the_expression_changes_at_most_rounding():
    results = []
    x, target = random_points(1, 20, 1, SIZES)
    for expression in ("0.01*oja + 0.05*bp", "0.05*bp + 0.01*oja"):
        engine, _, _ = build_engine(expression, SIZES)
        for step in range(20):
            engine.step(x[step], target[step])
        results.append(engine.parameters.weights)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)
