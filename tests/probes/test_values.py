"""Every built-in probe against its equation in plain NumPy, or scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from tests.engine.test_step import DenseHebbian, RowOja, Threshold
from tests.probes.snapshots import POINTS, Photographed
from tests.reference import slow
from tests.reference.test_rules import CASES

SIZES = (14, 9, 7, 5)
SKIPPING = (14, 9, 9, 5)


def forward(weights, x, residual=False):
    """Return y_0 .. y_L, and sigma(W y) alone, of one point."""
    activities, branches = [x], []
    for i, weight in enumerate(weights):
        z = weight @ activities[-1]
        top = i == len(weights) - 1
        branches.append(slow.softmax(z) if top else slow.softplus(z))
        skips = residual and not top and i and weight.shape[0] == weight.shape[1]
        activities.append(branches[-1] + activities[-1] if skips else branches[-1])
    return activities, branches


@pytest.mark.parametrize("residual", [False, True])
def test_residual_is_equation_2(residual):
    made = Photographed("bp", SKIPPING, residual=residual)
    weights, _ = made.arrays()
    lost, size = np.zeros(3), np.zeros(3)
    for x in made.x[:POINTS]:
        y, branches = forward(weights, x, residual)
        for i, weight in enumerate(weights):
            lost[i] += ((y[i] - weight.T @ branches[i]) ** 2).sum() / POINTS
            size[i] += (y[i] ** 2).sum() / POINTS
    found = made.measured("residual")
    np.testing.assert_allclose(found["residual"], lost, rtol=1e-5)
    np.testing.assert_allclose(found["relative_residual"], lost / size, rtol=1e-5)


def test_norms_of_activities_and_weights():
    made = Photographed("bp", SIZES)
    weights, _ = made.arrays()
    norms = np.array(
        [[np.linalg.norm(y) for y in forward(weights, x)[0][1:]] for x in made.x[:POINTS]]
    )
    found = made.measured("activation-norm")
    np.testing.assert_allclose(found["activation_norm"], norms.mean(0), rtol=1e-5)
    variation = norms.std(0) / norms.mean(0)
    np.testing.assert_allclose(found["activation_norm_cv"], variation, rtol=1e-4)
    found = made.measured("weight-norm")
    expected = [np.linalg.norm(w) for w in weights]
    np.testing.assert_allclose(found["weight_norm"], expected, rtol=1e-6)
    expected = [np.linalg.norm(w @ w.T - np.eye(len(w))) for w in weights]
    np.testing.assert_allclose(found["orthonormality_gap"], expected, rtol=1e-6)


def test_explained_variance_is_that_of_scikit_learn():
    made = Photographed("bp", SIZES)
    found = made.measured("explained-variance")
    assert found["explained_variance"].shape == (3, 9)
    for layer, [y] in enumerate(made.snapshot().evaluated[1:]):
        pca = PCA().fit(y.double().numpy())
        shares = np.cumsum(pca.explained_variance_ratio_)
        row = found["explained_variance"][layer]
        np.testing.assert_allclose(row[: len(shares)], shares, rtol=1e-6)
        assert np.isnan(row[len(shares) :]).all()
        # scikit-learn's own way to ask for a share of the variance
        most = PCA(n_components=0.95, svd_solver="full").fit(y.double().numpy()).n_components_
        assert found["components_95"][layer] == most


def test_an_activity_that_never_varies_has_no_components():
    made = Photographed("bp", SIZES)
    made.parameters.weights[0].zero_()
    made.seen[0][1].fill_(0.1)
    found = made.measured("explained-variance")
    assert np.isnan(found["components_95"]).tolist() == [True, False, False]


def test_reconstruction_goes_down_through_all_layers():
    made = Photographed("bp", SIZES)
    weights, _ = made.arrays()
    found = made.measured("reconstruction")
    assert found["reconstruction"].shape == (3, 5, 14)
    np.testing.assert_allclose(found["reconstruction_input"], made.x[:5], rtol=1e-6)
    for point, x in enumerate(made.x[:5]):
        y, _ = forward(weights, x)
        expected = weights[0].T @ weights[1].T @ weights[2].T @ y[3]
        np.testing.assert_allclose(found["reconstruction"][2, point], expected, rtol=1e-4)


def increments(weights, feedback, terms, x, target, through):
    """Return the increment of each weight matrix by one point, from the slow loop."""
    new, new_feedback = [w.copy() for w in weights], [b.copy() for b in feedback]
    slow.step(new, new_feedback, terms, x[None], target[None], through)
    return [a - b for a, b in zip(new, weights, strict=True)]


def mean_norms(made, terms, through, replica=0, factor=1.0, change=lambda dw: dw):
    weights, feedback = made.arrays(replica)
    terms = [(rule, factor * theta) for rule, theta in terms]
    norms = [
        [
            np.linalg.norm(change(dw))
            for dw in increments(weights, feedback, terms, x, target, through)
        ]
        for x, target in zip(made.x[:10], made.target[:10], strict=True)
    ]
    return np.mean(norms, 0)


@pytest.mark.parametrize("case", CASES)
def test_update_norms_are_those_of_the_slow_loop(case):
    expression, terms, through, settings = CASES[case]
    # two networks with thetas of their own, of which the second is looked at after the first
    made = Photographed(
        expression, SIZES, seeds=2, factors=[1.0, 0.5], settings=settings, dtype="float64"
    )
    made.measured("update-norm", 0)
    found = made.measured("update-norm", 1)
    changing = [rule for rule in terms if rule[0] not in (slow.b_update, slow.b_decay)]
    if case == "b-update printed":
        changing = changing[:1]
    total = mean_norms(made, changing, through, 1, 0.5)
    np.testing.assert_allclose(found["update_norm"], total, rtol=1e-6)
    for row, term in zip(found["rule_update_norm"], terms, strict=True):
        if term in changing:
            np.testing.assert_allclose(row, mean_norms(made, [term], through, 1, 0.5), rtol=1e-6)
        else:
            assert np.isnan(row).all()  # it changes B alone


def threshold(n):
    return {"W": np.outer(n.y - 0.25, n.x)}


OWN = {
    "state": ("0.1*threshold + 0.05*bp", [(threshold, 0.1), (slow.bp, 0.05)], [Threshold]),
    "dense": ("0.1*dense-hebbian", [(slow.hebbian, 0.1)], [DenseHebbian]),
    "row decay": ("0.1*row-oja", [(slow.oja_single, 0.1)], [RowOja]),
}


@pytest.mark.parametrize("case", OWN)
def test_update_norms_of_rules_with_state_dense_updates_and_row_decay(case):
    expression, terms, rules = OWN[case]
    made = Photographed(expression, SIZES, rules=rules)
    found = made.measured("update-norm")
    np.testing.assert_allclose(found["update_norm"], mean_norms(made, terms, "W"), rtol=1e-5)
    for row, term in zip(found["rule_update_norm"], terms, strict=True):
        np.testing.assert_allclose(row, mean_norms(made, [term], "W"), rtol=1e-5)
    for value in made.parameters.state.values():
        assert (value == 0.25).all()  # looked at, and not learned


def test_transforms_change_the_total_update_alone():
    terms = [(slow.oja, 0.02), (slow.bp, 0.05)]
    made = Photographed(
        "0.02*oja + 0.05*bp",
        SIZES,
        transforms=["clip-update"],
        settings={"clip-update": {"norm": 0.02}},
    )
    found = made.measured("update-norm")
    clipped = mean_norms(made, terms, "W", change=lambda dw: dw * min(1, 0.02 / np.linalg.norm(dw)))
    np.testing.assert_allclose(found["update_norm"], clipped, rtol=1e-5)
    assert (clipped < mean_norms(made, terms, "W")).any()
    bp = mean_norms(made, terms[1:], "W")
    np.testing.assert_allclose(found["rule_update_norm"][1], bp, rtol=1e-5)


def test_a_rule_restricted_to_layers_has_no_update_elsewhere():
    made = Photographed("bp + oja", SIZES, settings={"oja": {"layers": "2"}})
    found = made.measured("update-norm")
    assert np.isnan(found["rule_update_norm"]).tolist() == [[False] * 3, [True, False, True]]
    assert (found["update_norm"] > 0).all()


def angle(a, b):
    product = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    return np.degrees(np.arccos(product))


@pytest.mark.parametrize("residual", [False, True])
def test_alignment_of_feedback_and_of_errors(residual):
    made = Photographed("fa + hebbian-error", SKIPPING, residual=residual, dtype="float64")
    weights, feedback = made.arrays()
    angles = [angle(b, w.T) for b, w in zip(feedback, weights, strict=True)]
    found = made.measured("alignment")
    np.testing.assert_allclose(found["feedback_angle"], angles, rtol=1e-6)
    for_errors = []
    for x, target in zip(made.x[:10], made.target[:10], strict=True):
        _, branches = forward(weights, x, residual)
        chains = []
        for back in ([w.T for w in weights], feedback):
            errors, arrived = [branches[-1] - target], 0
            for i in (2, 1):
                above = arrived if residual and i == 1 else 0
                arrived = back[i] @ errors[0] + above
                errors.insert(0, arrived * slow.slope(branches[i - 1]))
            chains.append(errors)
        for_errors.append([angle(*pair) for pair in list(zip(*chains, strict=True))[:2]])
    np.testing.assert_allclose(found["error_angle"][:2], np.mean(for_errors, 0), rtol=1e-6)
    assert found["error_angle"][2] == 0


def test_alignment_is_exactly_0_where_b_is_the_transposed_weight():
    made = Photographed("fa", SIZES)
    for b, w in zip(made.parameters.feedback, made.parameters.weights, strict=True):
        b.copy_(w.mT)
    found = made.measured("alignment")
    assert found["feedback_angle"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found["error_angle"], 0, atol=1e-4)
    for w in made.parameters.weights:
        w.mul_(-1)
    np.testing.assert_allclose(made.measured("alignment")["feedback_angle"], 180, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "feedback", "errors"), [("oja", True, True), ("bp", True, False), ("dfa", True, False)]
)
def test_alignment_is_nan_where_there_is_nothing_to_align(rule, feedback, errors):
    found = Photographed(rule, SIZES).measured("alignment")
    assert np.isnan(found["feedback_angle"]).all() == feedback
    assert np.isnan(found["error_angle"]).all() == errors
    if rule == "bp":
        np.testing.assert_allclose(found["error_angle"], 0, atol=1e-4)


@pytest.mark.parametrize("networks", [(0, 1, 2), (2, 0)])
@pytest.mark.parametrize("expression", ["fa + oja", "fa + oja + weight-decay"])
def test_increments_multiplied_out_have_the_norms_that_are_told(expression, networks):
    made = Photographed(expression, SIZES, seeds=3, dtype="float64")
    with torch.inference_mode():
        for layer in made.snapshot(*networks).increments:
            assert set(layer) == {*expression.split(" + "), ""}
            for one in layer.values():
                torch.testing.assert_close(one.dense().flatten(2).norm(dim=2), one.norm())
            parts = sum(one.dense() for name, one in layer.items() if name)
            torch.testing.assert_close(layer[""].dense(), parts)
