"""What probes measure where weights are shared, against loops over places."""

import numpy as np
import pytest

from plastic_core import PlasticError, RunSpec, run
from tests.probes.snapshots import BUILT_IN, POINTS, Photographed
from tests.reference import slow
from tests.reference.slow_images import Conv, Dense, Pool, forward, step

IMAGE, OUTPUTS = (2, 7, 6), 10
SIZES = (84, OUTPUTS)
LAYERS = [Conv(3, (3, 2), 1, 1), Pool(2), Conv(2, (2, 2)), Dense(5), Dense(OUTPUTS)]
NET = {"net": "conv 3 3x2 pad 1 / pool 2 / conv 2 2 / dense 5", "image": IMAGE}
TERMS = [(slow.bp, 0.005), (slow.oja, 0.01)]


def photographed(expression, **arguments):
    return Photographed(expression, SIZES, seeds=2, dtype="float64", **NET, **arguments)


def seen(made, replica=1):
    """Return what each layer did with each probe point."""
    weights, feedback = made.arrays(replica)
    return [forward(LAYERS, weights, feedback, x.reshape(IMAGE)) for x in made.x[:POINTS]]


def test_residual_and_norms_are_means_over_points_and_places():
    made = photographed("0.01*oja + 0.005*bp")
    found = made.measured("residual", 1)
    norms = made.measured("activation-norm", 1)
    weights, _ = made.arrays(1)
    done = seen(made)
    numbers = [i for i, layer in enumerate(LAYERS) if not isinstance(layer, Pool)]
    for layer, (number, weight) in enumerate(zip(numbers, weights, strict=True)):
        events = [n for one in done for n in one[number]["events"]]
        lost = np.mean([((n.x - weight.T @ n.y) ** 2).sum() for n in events])
        size = np.mean([(n.x**2).sum() for n in events])
        np.testing.assert_allclose(found["residual"][layer], lost, rtol=1e-5)
        np.testing.assert_allclose(found["relative_residual"][layer], lost / size, rtol=1e-5)
        lengths = [np.linalg.norm(n.y) for n in events]
        np.testing.assert_allclose(norms["activation_norm"][layer], np.mean(lengths), rtol=1e-5)
        variation = np.std(lengths) / np.mean(lengths)
        np.testing.assert_allclose(norms["activation_norm_cv"][layer], variation, rtol=1e-4)


@pytest.mark.parametrize(
    ("expression", "terms", "through"),
    [
        ("0.005*bp + 0.01*oja", TERMS, "W"),
        ("0.005*fa + 0.01*oja + 0.1*weight-decay", [*TERMS, (slow.weight_decay, 0.1)], "B"),
    ],
)
def test_update_norms_are_those_of_all_places_together(expression, terms, through):
    made = photographed(expression)
    found = made.measured("update-norm", 1)
    weights, feedback = made.arrays(1)
    if through == "W":
        feedback = []
    for row, some in [
        (found["update_norm"], terms),
        *zip(found["rule_update_norm"], ([term] for term in terms), strict=True),
    ]:
        norms = []
        for x, target in zip(made.x[:10], made.target[:10], strict=True):
            new = [w.copy() for w in weights]
            fed = [b.copy() for b in feedback]
            step(LAYERS, new, fed, some, x.reshape(1, *IMAGE), target[None], through)
            norms.append([np.linalg.norm(a - b) for a, b in zip(new, weights, strict=True)])
        np.testing.assert_allclose(row, np.mean(norms, 0), rtol=1e-5)


def test_the_angle_of_an_error_is_that_at_all_places():
    exact = photographed("bp").measured("alignment", 1)
    np.testing.assert_array_equal(exact["error_angle"], 0)
    made = photographed("fa")
    for b, w in zip(made.parameters.feedback, made.parameters.weights, strict=True):
        b.copy_(-w.mT)
    turned = made.measured("alignment", 1)
    np.testing.assert_allclose(turned["feedback_angle"], 180, rtol=1e-5)
    # an error changes its sign with each layer that it goes down through
    np.testing.assert_allclose(turned["error_angle"], [180, 0, 180, 0], atol=1e-4)


def test_explained_variance_is_that_of_all_places():
    made = photographed("bp")
    found = made.measured("explained-variance", 1)
    y = np.array([n.y for one in seen(made) for n in one[0]["events"]])
    values = np.linalg.eigvalsh(np.cov(y.T))[::-1]
    expected = values.cumsum() / values.sum()
    np.testing.assert_allclose(found["explained_variance"][0, :3], expected, rtol=1e-4)
    assert found["components_95"][0] == 1 + np.argmax(expected >= 0.95)


def test_an_image_is_reconstructed_through_pools_and_patches():
    """Patches that overlap are averaged, and a pooled number goes to where it came from."""
    made = photographed("bp")
    found = made.measured("reconstruction", 1)["reconstruction"]
    weights, _ = made.arrays(1)
    for point, done in enumerate(seen(made)[:5]):
        pooled = averaged(done[2]["events"], weights[1], done[2]["x"].shape, lambda n: n.y)
        image, count = np.zeros(done[0]["y"].shape), np.zeros(done[0]["y"].shape)
        for at, source in np.ndenumerate(done[1]["source"]):
            image[source] += pooled[at]
            count[source] += 1
        image = np.where(count > 0, image / count.clip(1), 0)
        for layer, y in ((0, done[0]["y"]), (1, image)):
            events = done[0]["events"]
            expected = averaged(events, weights[0], IMAGE, lambda n, y=y: y[:, *n.place])
            np.testing.assert_allclose(found[layer, point], expected.ravel(), rtol=1e-4, atol=1e-6)


def test_a_filter_is_what_a_unit_weighs_in_its_patch():
    made = photographed("bp")
    found = made.measured("filters", 1)["filter"]
    weights, _ = made.arrays(1)
    assert found.shape == (3, 2, 3, 2)
    event = next(n for n in seen(made)[0][0]["events"] if None not in n.entries)
    first = event.entries[0]
    for at, weight in zip(event.entries, weights[0].T, strict=True):
        channel, row, column = (a - b for a, b in zip(at, first, strict=True))
        np.testing.assert_allclose(found[:, channel, row, column], weight, rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "options", "shape"),
    [
        ("digits-mlp", {}, (170, 1, 8, 8)),
        ("digits-mlp", {"net": "pool 2 / dense 5"}, (5, 1, 4, 4)),
        ("digits-attention", {}, (32, 1, 2, 2)),
        ("delayed-digits-rnn", {}, (100, 1, 8, 8)),
        ("sine-regression", {}, (50, 1, 1, 8)),
    ],
)
def test_filters_have_the_shape_of_what_a_unit_sees(task, options, shape):
    few = {"samples": 20, "seeds": 1, "evaluations": 2, "eval_samples": 50}
    result = run(RunSpec(rule="bp", task=task, options=options, probes=["filters"], **few))
    assert result.curves["filter"].shape == (1, *shape)
    first = result.curves["filter"].to_numpy().reshape(shape[0], -1)
    np.testing.assert_array_equal(first, result.parameters.weights[0][0].numpy())


def averaged(events, weight, shape, activity):
    """Return the mean of what W' y says of each number by all places that see it."""
    total, count = np.zeros(shape), np.zeros(shape)
    for n in events:
        for at, value in zip(n.entries, weight.T @ activity(n), strict=True):
            if at is not None:
                total[at] += value
                count[at] += 1
    return total / count


@pytest.mark.parametrize("task", ["digits-cnn", "digits-attention"])
def test_all_probes_measure_a_run(task):
    spec = RunSpec(rule="0.01*bp + 1e-4*oja", task=task, samples=40, seeds=2, probes=["all"])
    spec = spec.model_copy(update={"evaluations": 2, "eval_samples": 50})
    result = run(spec)
    measured = result.curves.data_vars
    assert {"residual", "update_norm", "error_angle", "reconstruction"} <= measured.keys()
    alone = run(spec.model_copy(update={"seeds": 1, "first_seed": 1})).curves
    for name, values in measured.items():
        if "seed" in values.dims:
            mine, own = values.sel(seed=1), alone[name].sel(seed=1)
            np.testing.assert_array_equal(mine, own, err_msg=name)
    nothing = np.isnan(measured["reconstruction"].sel(seed=0))
    assert nothing.any() == (task == "digits-attention")  # above attention


def test_a_probe_of_feed_forward_networks_says_which_ones_there_are():
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(task="digits-cnn", probes=["spectrum"]))
    others = ", ".join(sorted(BUILT_IN))
    assert str(refused.value) == (
        "the probe 'spectrum' measures recurrent, sequence networks, and that of 'digits-cnn' is "
        f"layered; there are {others}"
    )
