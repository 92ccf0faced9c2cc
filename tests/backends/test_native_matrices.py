"""States over matrices, natively: the numbers of eager for all that a rule may write with them."""

import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import Rule, Theta, decay, hookimpl, outer
from plastic_core.backends.native.matrix_forms import INSTEAD
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.native.program import NotNativeError
from tests.backends.trained_parts import assert_same, make, order
from tests.daily import combined, some
from tests.engine.trained_rules import assert_agree, killed_and_resumed, small, spec_of

pytestmark = pytest.mark.usefixtures("compilers")


class Lateral(Rule):
    """Two matrices of a layer by itself, read where it goes forward; no unit inhibits itself."""

    spec = spec_of(
        "lateral",
        {"pre", "post", "z"},
        state={
            "m": {"over": "post*post", "initial": "xavier"},
            "n": {"over": "post*post", "initial": "xavier"},
            "t": {"over": "post"},
        },
    )

    @hookimpl
    def plastic_forward(self, s):
        z = s.forward(s.pre)
        near = torch.bmm(s.activation(z), s.state.m.mT) + (s.state.n @ z.tanh().mT).mT
        return z - 0.1 * near - s.state.t

    @hookimpl
    def plastic_local_update(self, s):
        old, size = s.state, s.post.shape[-1]
        together = s.post.mT @ s.post / s.post.shape[1]
        apart = 1 - torch.eye(size, dtype=s.post.dtype, device=s.post.device)
        m = (old.m + 0.01 * together).clamp(min=-0.5) * apart
        n = old.n + 0.001 * torch.bmm(old.t.mT, old.t) + 0.001 * old.m * old.t.mT
        n = torch.where(old.n.abs() > 0.2, 0.99 * old.n, n)
        n = n + 0.001 * torch.bmm(s.z.transpose(1, 2).tanh() - 0.1, s.post) / s.batch
        t = 0.9 * old.t + 0.01 * s.post.mean(1, keepdim=True) + 0.01 * torch.bmm(old.t, old.m)
        return outer(s.post @ old.m, s.pre) + decay(s.post), {"m": m, "n": n, "t": t}


class Readout(Rule):
    """A readout of each layer, fixed feedback, and synapses of their own that errors go back by."""

    spec = spec_of(
        "readout",
        {"pre", "z", "post", "target", "output_error", "error"},
        propagates=True,
        state={
            "r": {"over": "post*output", "initial": "xavier"},
            "fixed": {"over": "post*output", "initial": "xavier"},
            "w": {"over": "weight", "initial": "normal"},
        },
        theta={"a": Theta(default=0.01, min=None)},
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return 0.3 * torch.bmm(s.error, s.state.w) + 0 * s.pre

    @hookimpl
    def plastic_local_update(self, s):
        old = s.state
        wrong = s.target - torch.bmm(s.post, old.r)
        r = old.r + s.theta.a * torch.bmm(s.post.mT, wrong) / s.batch
        back = torch.bmm(s.output_error, old.fixed.mT)
        w = 0.99 * old.w + 0.001 * torch.bmm(back.mT, s.pre) / s.batch
        learned = -outer(s.theta.a * (back + s.error), s.pre + 0.01 * torch.bmm(s.z, old.w))
        return learned, {"r": r, "fixed": old.fixed, "w": w}


class Sited(Rule):
    """At the output, where post is the output, the matrices over both are of one shape."""

    spec = spec_of(
        "sited",
        {"pre", "post", "target", "output_error", "z"},
        state={
            "r": {"over": "post*output", "initial": "xavier"},
            "m": {"over": "post*post", "initial": "xavier"},
        },
    )

    @hookimpl
    def plastic_local_update(self, s):
        old = s.state
        new = {
            "r": old.r + 0.01 * torch.bmm(s.post.mT, s.target) / s.batch,
            "m": 0.9 * old.m + 0.1 * s.layer * torch.bmm(s.post.mT, s.z) / s.batch,
        }
        if s.is_output:
            wrong = torch.bmm(s.target, old.r.mT) + torch.bmm(s.target, old.m)
            return -outer(s.output_error + 0.01 * wrong, s.pre), new
        return -outer(torch.bmm(s.output_error, old.r.mT) * s.slope(s.z), s.pre), new


class Fed(Rule):
    """Two more matrices as large as B, of which one takes part in feedback."""

    spec = spec_of(
        "fed",
        {"pre", "error", "feedback_error"},
        feedback="layer",
        propagates=True,
        state={
            "f": {"over": "feedback", "initial": "normal"},
            "g": {"over": "feedback", "initial": "xavier"},
        },
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.feedback_error + 0.1 * torch.bmm(s.error, s.state.g.mT)

    @hookimpl
    def plastic_local_update(self, s):
        old = s.state
        f = 0.9 * old.f - 0.1 * torch.matmul(s.pre.mT, s.error) / s.batch
        g = old.g + 0.01 * old.f.sign() - 0.01 * old.g * s.pre.mean(1, keepdim=True).mT
        return -outer(s.error + 0.01 * torch.bmm(s.pre, old.f), s.pre), {"f": f, "g": g}


class FedFromOutput(Rule):
    """What comes from the outputs comes through a state that learns."""

    spec = spec_of(
        "fed-from-output",
        {"pre", "error", "output_error"},
        feedback="output",
        propagates=True,
        state={"f": {"over": "feedback", "initial": "xavier"}},
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.output_error @ s.state.f.mT

    @hookimpl
    def plastic_local_update(self, s):
        learned = torch.bmm(s.output_error.mT, s.pre).mT / s.batch
        return -outer(s.error, s.pre), {"f": s.state.f - 0.01 * learned}


class Passed(Rule):
    """Matrices that only the second pass goes through, and that learn from both."""

    spec = spec_of(
        "passed",
        {"pre", "post", "loss"},
        passes=2,
        noise={"post"},
        state={"m": {"over": "post*post", "initial": "normal"}, "e": {"over": "weight"}},
    )

    @hookimpl
    def plastic_forward(self, s):
        if not s.pass_index:
            return None
        more = 0.1 * torch.bmm(s.noise.post, s.state.m) - 0.05 * torch.bmm(s.pre, s.state.e.mT)
        return s.forward(s.pre) + more

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        gain = second.loss - first.loss
        m = 0.99 * s.state.m + 0.01 * torch.bmm(second.post.mT, first.post) / s.batch
        e = 0.9 * s.state.e + 0.1 * torch.bmm((gain * second.post).mT, second.pre) / s.batch
        return -outer(gain * (second.post - first.post), first.pre), {"m": m, "e": e}


NETS = {
    "dense": ("digits-mlp", {"net": "dense 9 / dense 8"}),
    "biases": ("digits-mlp", {"net": "dense 19 bias layer-norm / dense 19 residual bias"}),
    "mask": ("digits-mlp", {"net": "dense 9 connections 0.4 / dense 8"}),
    "convolution": ("digits-cnn", {"net": "conv 3 3x3 bias / conv 3 2x2 / pool 2 / dense 8"}),
    "recurrent": ("delayed-digits-rnn", {"hidden": 12, "delay": 9}),
    "sequence": ("delayed-xor", {"hidden": 9, "steps": 5}),
}

RULES = [
    ("0.002*lateral + 0.02*bp", [Lateral], ()),
    ("0.002*lateral + 0.02*bp", [Lateral], ("adam",)),
    ("readout", [Readout], ()),
    ("0.01*sited", [Sited], ()),
    ("0.01*sited + 0.002*lateral + readout", [Sited, Lateral, Readout], ("momentum",)),
    ("0.01*fed", [Fed], ()),
    ("0.01*fed-from-output", [FedFromOutput], ()),
    ("0.1*passed", [Passed], ()),
    ("0.1*passed + 0.02*bp + 0.002*lateral", [Passed, Lateral], ()),
]

# what eager does not take either
IMPOSSIBLE = {(net, Passed) for net in ("recurrent", "sequence")} | {("convolution", FedFromOutput)}


@pytest.mark.parametrize(("net", "batch", "case"), combined(NETS, [1, 3], RULES))
def test_native_is_eager(net, batch, case):
    (task, options), (expression, rules, transforms) = NETS[net], case
    if any((net, rule) in IMPOSSIBLE for rule in rules):
        net, (task, options) = "dense", NETS["dense"]
    options = {**options, "activation": "tanh"}
    found = []
    for backend in ("eager", "native"):
        spec = RunSpec(
            task=task,
            rule=expression,
            options=options,
            transforms=transforms,
            seeds=2,
            samples=20,
            evaluations=2,
            batch_size=batch,
            dtype="float64",
            backend=backend,
        )
        result = run(spec, rules=rules)
        assert result.record["backend"] == backend, result.record["backend_reason"]
        found.append(result.parameters.named())
    for key, value in found[0].items():
        assert value.double().isfinite().all(), key
        torch.testing.assert_close(found[1][key], value, rtol=1e-9, atol=1e-12)


def test_thetas_over_time_and_some_layers():
    settings = {"readout": {"theta.a": "cosine(0.02)"}}
    assert_agree(Readout, "readout", "dense", "native", settings=settings)
    settings = {"lateral": {"layers": "2"}, "bp": {"theta": "linear(0.02)"}}
    assert_agree(Lateral, "0.002*lateral + bp", "dense", "native", settings=settings)


ODD = [(1, 1, 2), (7, 17, 1, 3), (33, 100, 2)]


@pytest.mark.parametrize(("sizes", "dtype"), combined(ODD, ["float64", "float32"]))
def test_threads_and_pieces_change_no_bit(sizes, dtype):
    rule, finals = "0.01*sited + 0.001*lateral + 0.02*bp", []
    for threads, parts in ((1, (40,)), (2, (16, 24))):
        native, parameters = make(
            *(NativeBackend, rule, sizes),
            seeds=3,
            dtype=dtype,
            rules=[Sited, Lateral],
            more={"threads": threads},
        )
        points = order(3, 40)
        for part in points.split(parts, 1):
            native.advance(part)
        finals.append(parameters)
    assert_same(*finals, 0)


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    rule = "0.002*lateral + 0.02*bp"
    killed_and_resumed(small(rule), tmp_path, monkeypatch, rules=[Lateral])


def keeping(update, over="post*post", **more):
    """Return a rule with a state `m` over a matrix, and `v` over post."""
    reads = {"pre", "post", "weight", "feedback", "target"}

    class Kept(Rule):
        spec = spec_of(
            "kept",
            reads,
            feedback="layer",
            modifies="forward",
            state={"m": {"over": over, "initial": "normal"}, "v": {"over": "post", "initial": 1.0}},
            **more,
        )

        @hookimpl
        def plastic_local_update(self, s):
            given = update(s)
            vector, m = given if isinstance(given, tuple) else (given, 0.9 * s.state.m)
            return outer(vector, s.pre), {"m": m, "v": s.state.v}

    return Kept


FORMS = {
    "bmm": lambda s: torch.bmm(s.post, s.state.m),
    "bmm of the turned": lambda s: torch.bmm(s.post, s.state.m.mT),
    "matmul": lambda s: torch.matmul(s.post, s.state.m),
    "the operator": lambda s: s.post @ s.state.m.transpose(1, 2),
    "a method": lambda s: s.post.bmm(s.state.m.transpose(-2, -1)),
    "from the left": lambda s: (s.state.m @ s.post.mT).mT,
    "from the left, turned": lambda s: torch.bmm(s.state.m.mT, s.post.permute(0, 2, 1)).mT,
    "of what is computed": lambda s: torch.bmm(s.post.tanh() * s.state.v, s.state.m).square(),
    "of a state": lambda s: s.post * torch.bmm(s.state.v, s.state.m),
    "of a turned state": lambda s: s.post * torch.bmm(s.state.m, s.state.v.mT).mT,
    "twice": lambda s: torch.bmm(torch.bmm(s.post, s.state.m).tanh(), s.state.m.mT),
    "what is turned alone": lambda s: torch.bmm((s.post.mT * 2).mT, s.state.m),
    "an outer product": lambda s: (s.post, torch.bmm(s.post.mT, s.post) / s.batch),
    "one with a function": lambda s: (s.post, torch.bmm(s.post.mT.tanh(), s.post) / s.batch),
    "one that is turned": lambda s: (s.post, torch.bmm(s.post.mT, s.post.tanh()).mT / s.batch),
    "one of states": lambda s: (s.post, s.state.m + s.state.v.mT @ s.state.v),
    "rows and columns": lambda s: (s.post, s.state.m * s.state.v.mT + s.state.v),
    "a size of it": lambda s: (s.post, s.state.m / s.state.m.shape[1] / s.state.m.size(-1)),
    "numbers of its shape": lambda s: (s.post, s.state.m - torch.ones_like(s.state.m)),
    "its diagonal": lambda s: (
        s.post,
        s.state.m * (1 - torch.eye(s.post.shape[-1], dtype=s.post.dtype)),
    ),
    "as it is": lambda s: (s.post, s.state.m),
}


@pytest.mark.parametrize("form", some(FORMS, 3))
def test_every_form_gives_the_numbers_of_eager(form):
    assert_agree(keeping(FORMS[form]), "0.01*kept", "dense", "native", samples=12)


REFUSED = {
    "the state turned": (
        lambda s: (s.post, s.state.m.mT),
        f"its state 'm' is turned; {INSTEAD}",
    ),
    "the state plus the turned": (
        lambda s: (s.post, s.state.m + s.state.m.mT),
        f"it turns a matrix; {INSTEAD}",
    ),
    "a product of matrices": (lambda s: (s.post, torch.bmm(s.state.m, s.state.m)), INSTEAD),
    "a product with what it becomes": (lambda s: torch.bmm(s.post, 0.9 * s.state.m), INSTEAD),
    "a sum over rows": (
        lambda s: (s.post, s.state.m / s.state.m.sum(-1, keepdim=True)),
        "it looks at more than one element of a matrix at a time; write it with functions of "
        "single elements",
    ),
    "a sum of what is turned": (
        lambda s: s.post * s.post.mT.sum(1).unsqueeze(-1),
        f"it turns a matrix; {INSTEAD}",
    ),
    "a diagonal of another size": (
        lambda s: (s.post, s.state.m * torch.eye(4, dtype=s.post.dtype)),
        "of torch.eye(n) n is the size of a population, s.post.shape[-1]",
    ),
    "a product with W": (lambda s: torch.bmm(s.pre, s.weight.mT), f"it turns a matrix; {INSTEAD}"),
    "a product with B": (
        lambda s: torch.bmm(s.pre, s.feedback),
        f"it reads the matrix 'feedback'; {INSTEAD}",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_what_to_write(what):
    form, reason = REFUSED[what]
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "bp+kept", (6, 5, 3), rules=[keeping(form)])
    rule, *line, found = str(caught.value).split(": ", 2 if reason[:9] != "its state" else 1)
    assert rule == "the rule 'kept'"
    assert all(one.startswith("line ") for one in line)
    assert found == reason


class Everywhere(FedFromOutput):
    """Fixed, where B comes from the outputs to all places of an image at once."""

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error, s.pre), {"f": s.state.f}


def test_a_state_over_feedback_to_several_places():
    net = {"net": "conv 2 2x2 / dense 4", "image": (1, 4, 4)}
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "fed-from-output", (16, 10), rules=[Everywhere], **net)
    assert str(caught.value) == (
        "C is not generated for a state over feedback from the outputs to several places"
    )


def test_they_are_not_differentiated_in_c():
    with pytest.raises(NotNativeError, match="a rule has a state"):
        make(NativeTangents, "bp+kept", (6, 5, 3), rules=[keeping(lambda s: s.post)])
    fixed = keeping(lambda s: (torch.bmm(s.post, s.state.m), s.state.m))
    with pytest.raises(NotNativeError):
        make(NativeTangents, "bp+kept", (6, 5, 3), rules=[fixed])
