"""Networks that answer at each step of a sequence."""

import itertools

import numpy as np
import pytest
import torch

from plastic_core import Engine, PlasticError, RunSpec, initial_parameters, resolve_hooks, run
from plastic_core.api import Rule, SequenceSpec, Settle, hookimpl, outer
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.circuits.network import circuit_of
from plastic_core.plugins.catalogue import Catalogue
from tests.daily import combined
from tests.engine.trained_rules import assert_agree, killed_and_resumed, spec_of, trained

STEPS, BATCH = 4, 3


def network(rules, **options):
    """Return the circuit, the hooks and parameters of two networks."""
    spec = SequenceSpec(inputs=2, hidden=5, outputs=3, steps=STEPS, **options)
    circuit = circuit_of(spec)
    every = frozenset(range(len(circuit.sends)))
    hooks = resolve_hooks([(r, every) for r in rules], dtype=torch.float64, circuit=circuit)
    parameters = initial_parameters(spec, [0, 1], hooks.feedback, torch.float64)
    source = torch.Generator().manual_seed(0)
    for matrix in (*parameters.weights, *parameters.feedback):
        matrix.copy_(0.5 * torch.randn(matrix.shape, generator=source, dtype=torch.float64))
    return circuit, hooks, parameters


def points(batch=BATCH, seed=1):
    """Return inputs ``[R, batch, T n]`` and one-hot targets ``[R, batch T, n_L]``."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(2, batch, STEPS * 2, generator=source, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, batch * STEPS), generator=source)
    return x, torch.eye(3, dtype=torch.float64)[labels]


def unrolled(weights, x, leak):
    """Return y_t and z_t of the hidden units and what the output function is given, by step."""
    w_x, w_h, w_o, *biases = weights
    b, b_o = (one.mT for one in biases) if biases else (0, 0)
    y, found = x.new_zeros(len(x), x.shape[1], len(w_h[0])), []
    for t in range(STEPS):
        shown = x[:, :, 2 * t : 2 * t + 2]
        z = shown @ w_x.mT + y @ w_h.mT + b
        y = (1 - leak) * y + leak * z.tanh()
        found.append((y, z, y @ w_o.mT + b_o))
    return found


def loss_of(answers, target, kind):
    if kind == "squared-error":
        return 0.5 * (answers - target).square().sum()
    return -(answers.log_softmax(-1) * target).sum()


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_backpropagation_through_time_is_the_gradient(leak, bias, loss, batch):
    bp = Catalogue().class_of("rule", "bp")()
    circuit, hooks, parameters = network([bp], leak=leak, bias=bias, loss=loss)
    x, target = points(batch)
    before = [w.clone().requires_grad_() for w in parameters.weights]
    answers = torch.stack([answer for _, _, answer in unrolled(before, x, leak)], 2)
    total = loss_of(answers.flatten(1, 2), target, loss) / batch
    gradients = torch.autograd.grad(total, before)
    Engine(circuit, hooks, {"bp": 0.5}, parameters).step(x, target)
    for old, new, gradient in zip(before, parameters.weights, gradients, strict=True):
        assert gradient.abs().max() > 1e-3
        torch.testing.assert_close(new, old - 0.5 * gradient, rtol=1e-10, atol=1e-12)


READ = {"pre", "source", "post", "z", "error", "output", "target", "loss", "output_error"}


class Reader(Rule):
    """Reads all that has steps."""

    spec = spec_of("reader", READ, propagates=True)

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.back(s.error)

    @hookimpl
    def plastic_local_update(self, s):
        seen = s.z.sum() + s.loss.sum() + (s.output + s.target + s.output_error).sum()
        return outer(s.post + s.error, s.pre + s.source) * 0.0 + outer(s.post * seen, s.pre)


def test_signals_are_those_of_their_step():
    circuit, hooks, parameters = network([Reader()], leak=0.3)
    x, target = points()
    found = Engine(circuit, hooks, {"reader": 1.0}, parameters).signals(x, target)
    seen = unrolled(parameters.weights, x, 0.3)
    activity, drive = (torch.stack([one[k] for one in seen], 1) for k in (0, 1))
    answers = torch.stack([one[2].softmax(-1) for one in seen], 1)  # [R, T, batch, n]
    wanted = target.reshape(2, BATCH, STEPS, 3).transpose(1, 2)
    shown = x.reshape(2, BATCH, STEPS, 2).transpose(1, 2)
    expected = [
        {"pre": shown, "post": activity, "z": drive},
        {"pre": activity[:, :-1], "post": activity[:, 1:], "z": drive[:, 1:]},
        {"pre": activity, "post": answers, "z": torch.stack([one[2] for one in seen], 1)},
    ]
    for layer, (s, own) in enumerate(zip(found, expected, strict=True), start=1):
        assert (s.layer, s.is_output, s.leak) == (layer, layer == 3, 1.0 if layer == 3 else 0.3)
        last = slice(1, None) if layer == 2 else slice(None)
        own |= {"source": own["pre"], "output": answers[:, last], "target": wanted[:, last]}
        own["output_error"] = own["output"] - own["target"]
        own["loss"] = -(own["output"].log() * own["target"]).sum(-1, keepdim=True)
        for name, value in own.items():
            assert s.by_time(getattr(s, name)).shape == value.shape, name
            torch.testing.assert_close(s.by_time(getattr(s, name)), value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_tangents_are_finite_differences(leak):
    x, target = points()

    def learned(theta, tangents=False):
        rules = [Catalogue().class_of("rule", name)() for name in ("bp", "oja")]
        circuit, hooks, parameters = network(rules, leak=leak, bias=True)
        thetas = {name: torch.full((2,), theta, dtype=torch.float64) for name in ("bp", "oja")}
        step = (TangentStep if tangents else Engine)(circuit, hooks, thetas, parameters)
        for _ in range(3):
            step.step(x, target)
        return step.tangents if tangents else parameters.named()

    tangents, h = learned(0.02, tangents=True), 1e-6
    above, below = learned(0.02 + h), learned(0.02 - h)
    for name, tangent in tangents.items():
        finite = (above[name] - below[name]) / (2 * h)
        torch.testing.assert_close(tangent.sum(1), finite, rtol=1e-5, atol=1e-7)


BUILT_IN = ["bp", "0.01*fa + 1e-4*oja", "0.003*dfa", "0.01*kolen-pollack", "0.01*bp+hebbian-error"]
OPTIONS = {"leaky": {"leak": 0.3, "bias": True}, "at once": {"leak": 1, "loss": "squared-error"}}


@pytest.mark.parametrize(
    ("backend", "expression", "options"), combined(["native", "compiled"], BUILT_IN, OPTIONS)
)
def test_backends_agree(backend, expression, options):
    given = {"hidden": 7, "steps": 6, **OPTIONS[options]}
    found = []
    for one in ("eager", backend):
        result = run(
            RunSpec(
                rule=expression, task="delayed-xor", options=given, seeds=2, samples=60,
                evaluations=2, dtype="float64", backend=one, batch_size=2,
            )
        )  # fmt: skip
        assert result.record["backend"] == one, result.record["backend_reason"]
        found.append(result.parameters.named())
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-9, atol=1e-12)


class ByTime(Rule):
    """Learns at the second half of the steps what was there at the first."""

    spec = spec_of("by-time", {"pre", "output_error"})

    @hookimpl
    def plastic_local_update(self, s):
        shown = s.by_time(s.pre)
        half = shown.shape[1] // 2
        worth = s.by_time(s.output_error)[:, -half:].sum((1, 3), keepdim=True).squeeze(1)
        return outer(worth * s.forward(shown[:, :half].sum(1)), shown[:, -half:].sum(1))


def test_a_rule_learns_by_time():
    circuit, hooks, parameters = network([ByTime()])
    x, target = points()
    before, expected = ([w.clone() for w in parameters.weights] for _ in range(2))
    seen = unrolled(before, x, 1.0)
    error = torch.stack([one[2].softmax(-1) for one in seen], 1)
    error = error - target.reshape(2, BATCH, STEPS, 3).transpose(1, 2)
    activity = [one[0] for one in seen]
    shown = [x[:, :, 2 * t : 2 * t + 2] for t in range(STEPS)]
    Engine(circuit, hooks, {"by-time": 1.0}, parameters).step(x, target)
    for p, pre in enumerate((shown, activity[:-1], activity)):
        half = len(pre) // 2
        for r, k in itertools.product(range(2), range(BATCH)):
            early, late = (sum(one[r, k] for one in part) for part in (pre[:half], pre[-half:]))
            worth = error[r, -half:, k].sum()
            expected[p][r] += torch.outer(worth * (before[p][r] @ early), late) / BATCH
    for new, wanted in zip(parameters.weights, expected, strict=True):
        torch.testing.assert_close(new, wanted, rtol=1e-10, atol=1e-12)


def test_a_rule_by_time_runs_everywhere_but_natively():
    assert_agree(ByTime, "0.01*by-time", "sequence", "native", "eager")
    assert_agree(ByTime, "0.01*by-time", "dense", "native", "eager")
    _, record = trained(ByTime, "0.01*by-time", "sequence", "native")
    assert "C is not generated for 's.by_time()'" in record["backend_reason"]


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_a_run_goes_on_where_it_was_killed(tmp_path, monkeypatch, backend):
    spec = RunSpec(
        rule="0.01*bp", task="delayed-xor", options={"hidden": 6}, seeds=2, samples=100,
        evaluations=4, backend=backend,
    )  # fmt: skip
    rest = killed_and_resumed(spec, tmp_path, monkeypatch)
    assert "resumed at sample 25" in rest.record["notes"]


def sequences(count=60):
    source = np.random.default_rng(0)
    x = source.normal(size=(count, 5, 3))
    return x, (x[..., 0] > 0).astype(int)


OPEN = {"hidden": 8, "steps": 5}


def test_sequences_are_handed_over():
    x, labels = sequences()
    spec = RunSpec(rule="0.05*bp", task="delayed-xor", options=OPEN, seeds=2, samples=600)
    result = run(spec, data=(x, labels))
    assert result.record["network"]["inputs"] == 3
    assert result.curves["accuracy"].isel(step=-1).min() > 0.9
    result = run(spec, data=(x, np.where(labels, "up", "down")))
    assert result.curves["accuracy"].isel(step=-1).min() > 0.9
    result = run(spec, data=(x, x[..., :2] ** 2))
    assert result.record["network"]["loss"] == "squared-error"
    assert "r2" in result.curves


def test_sequences_for_a_network_that_answers_once_are_doubted():
    x, labels = sequences()
    result = run(RunSpec(rule="0.01*bp", seeds=1, samples=10), data=(x, labels))
    assert (
        "y has a number for each row of a point, and this network answers once for all; where rows "
        "are steps, take a task whose network answers at each, such as delayed-xor"
    ) in result.record["notes"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            lambda x, y: (x[:, 0], y),
            "data: X has shape (60, 3) and y (60, 5); this network answers at each step, and takes "
            "X of [N, steps, n] and y of [N, steps], a label a step, or [N, steps, m], m numbers a "
            "step, of two steps at least",
        ),
        (
            lambda x, y: (x, y[:, 0]),
            "data: X has shape (60, 5, 3) and y (60,); this network answers at each step, and "
            "takes X of [N, steps, n] and y of [N, steps], a label a step, or [N, steps, m], m "
            "numbers a step, of two steps at least",
        ),
        *(
            (
                lambda x, y, part=part: (x[:, part[0]], x[:, part[0], part[1]]),
                f"data: X has shape {shapes[0]} and y {shapes[1]}; this network answers at each "
                "step, and takes X of [N, steps, n] and y of [N, steps], a label a step, or "
                "[N, steps, m], m numbers a step, of two steps at least",
            )
            for part, shapes in (
                ((slice(1), slice(2)), ((60, 1, 3), (60, 1, 2))),
                ((slice(5), slice(0)), ((60, 5, 3), (60, 5, 0))),
            )
        ),
        (
            lambda x, y: (x[:, 1:], y[:, 1:]),
            "the network answers at each of 5 steps, and the data given say what to answer at each "
            "of 4 steps; write steps 4",
        ),
    ],
)
def test_sequences_that_do_not_fit_are_refused(data, message):
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(rule="bp", task="delayed-xor", options=OPEN), data=data(*sequences()))
    assert str(refused.value) == message


class Twice(Rule):
    spec = spec_of("twice", {"post", "pre"}, passes=2)

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.passes[1].post, s.pre)


class Settled(Rule):
    spec = spec_of("settled", {"post", "pre"}, settle=Settle(steps=2, phases=("free",)))

    @hookimpl
    def plastic_settle(self, s):
        return s.below

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.free.post, s.free.pre)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            Twice,
            "the passes of twice are not for recurrent networks, which are shown their input once "
            "in an update",
        ),
        (
            Settled,
            "settled settles the network, which is for dense feed-forward networks without biases",
        ),
    ],
)
def test_what_does_not_run_through_time_is_refused(rule, message):
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(rule=f"1*{rule.spec.name}", task="delayed-xor"), rules=[rule])
    assert str(refused.value).startswith(message)


def test_the_task_compares_bits():
    task = Catalogue().class_of("task", "delayed-xor")()
    data = task.load(None, task.spec.options(steps=7, delay=3))
    x, y = data.inputs.reshape(-1, 7, 2), data.labels
    assert (x.sum(-1) == 1).all()
    bits = x[..., 1].astype(int)
    assert (y[:, :3] == bits[:, :3]).all()
    assert (y[:, 3:] == (bits[:, 3:] != bits[:, :-3])).all()
    assert data.steps == 7
    assert 0.45 < y.mean() < 0.55


def test_a_delay_longer_than_the_sequence():
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(rule="bp", task="delayed-xor", options={"steps": 5, "delay": 5}))
    assert str(refused.value) == (
        "options of delayed-xor: delay = 5: no bit of 5 steps has one so long before it; give at "
        "most 4, or more steps"
    )


def test_probes_measure_its_weights():
    spec = RunSpec(
        rule="0.01*bp", task="delayed-xor", options={"hidden": 6}, seeds=2, samples=20,
        probes=("weight-norm", "spectrum"), evaluations=2,
    )  # fmt: skip
    result = run(spec)
    weights = result.parameters.weights
    norms = torch.stack([torch.linalg.matrix_norm(w) for w in weights], 1)
    measured = result.curves["weight_norm"].isel(step=-1).to_numpy()
    np.testing.assert_allclose(measured, norms.numpy(), rtol=1e-5)
    values = torch.linalg.svdvals(weights[1]).numpy()
    measured = result.curves["singular_value"].isel(step=-1).to_numpy()
    np.testing.assert_allclose(measured, values, rtol=1e-4)
