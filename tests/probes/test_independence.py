"""Probes change no training, and measure a network the same whatever is measured beside it."""

import itertools

import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Rule, hookimpl, outer
from tests.daily import combined, slow
from tests.engine.test_step import spec_of
from tests.probes.snapshots import ALL, SMALL, Photographed, probe_of


@pytest.mark.parametrize(
    ("backend", "rule", "batch_size"),
    [
        ("eager", "oja + fa + weight-decay + b-update", 1),
        slow("eager", "oja + fa + weight-decay + b-update", 3),
        slow("eager", "0.001*sanger + bp", 1),
        ("eager", "0.001*sanger + bp", 3),
        slow("native", "oja + bp", 1),
        ("native", "oja + bp", 3),
        ("native", "kolen-pollack", 1),
        slow("native", "kolen-pollack", 3),
    ],
)
def test_the_same_weights_with_and_without_bit_for_bit(backend, rule, batch_size):
    spec = {"rule": rule, "seeds": 2, "batch_size": batch_size, "backend": backend, **SMALL}
    options = {**SMALL["options"], "residual": batch_size == 3}
    plain, measured = (
        run(RunSpec(**{**spec, "options": options, "probes": probes})) for probes in ((), ALL)
    )
    assert measured.record["backend"] == backend
    for name, value in plain.parameters.named().items():
        assert torch.equal(value, measured.parameters.named()[name]), name
    for name in plain.curves.data_vars:
        assert plain.curves[name].equals(measured.curves[name])


class Noisy(Rule):
    """Has noise in its update."""

    spec = spec_of("noisy", noise={"post"})

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post * s.noise.post, s.pre)


class OwnForward(Rule):
    """z with noise of its own."""

    spec = spec_of("own-forward", reads={"post", "pre", "weight"}, noise={"pre"})

    @hookimpl
    def plastic_forward(self, s):
        return torch.bmm(s.pre + 0.1 * s.noise.pre, s.weight.mT)


@pytest.mark.parametrize("rule", ["0.01*noisy", "bp+own-forward"])
def test_noise_of_a_rule_is_not_disturbed(rule):
    spec = {"rule": rule, "seeds": 2, "backend": "eager", **SMALL}
    plain, measured = (
        run(RunSpec(probes=probes, **spec), rules=[Noisy, OwnForward])
        for probes in ((), ("update-norm", "explained-variance"))
    )
    assert all(map(torch.equal, plain.parameters.weights, measured.parameters.weights))
    assert measured.curves["loss"].equals(plain.curves["loss"])


def repeatable(spec, **arguments):
    """Return the result of a run whose random numbers of torch begin at 0."""
    torch.manual_seed(0)
    return run(spec, **arguments)


class Curved(Rule):
    """Several outer products, of functions that are computed a vector at a time."""

    spec = spec_of("curved", reads={"post", "pre", "error"})

    @hookimpl
    def plastic_local_update(self, s):
        curved = outer(torch.tanh(s.error), torch.exp(-s.pre)) + outer(s.post.sin(), s.pre)
        return 1e-3 * (curved - outer(s.error, s.pre.sigmoid()))


NETWORKS = [
    {"sizes": [64, 12, 12, 10]},
    {"sizes": [64, 99, 37, 10]},
    {"sizes": [64, 37, 37, 10], "residual": True},
]


@pytest.mark.parametrize(
    ("rule", "network"),
    combined(["oja+bp", "fa+hebbian-error", "bp+curved", "bp+weight-decay"], NETWORKS),
)
def test_a_seed_is_measured_the_same_alone_among_others_and_beside_them(rule, network):
    fields = {"rule": rule, "probes": ALL, **SMALL, "options": network, "probe_samples": 33}
    alone, among, beside = (
        run(
            RunSpec(first_seed=first, seeds=seeds, **fields), rules=[Curved], threads=threads
        ).curves
        for first, seeds, threads in ((2, 1, 1), (0, 6, 1), (0, 6, 3))
    )
    assert alone.sel(seed=2).equals(among.sel(seed=2))
    assert beside.equals(among)


@pytest.mark.parametrize("sizes", [[64, 37, 12, 10], [48, 16, 16, 3]])
def test_products_of_a_network_are_the_same_alone_and_among_others(sizes):
    photographed = Photographed("bp", sizes, seeds=6)
    alone, among = (list(products(photographed.snapshot(*seeds))) for seeds in ((2,), range(6)))
    for (one, _, _), (all_six, a, b) in zip(alone, among, strict=True):
        assert torch.equal(one[0], all_six[2]), (a.stride(), b.stride())
        torch.testing.assert_close(all_six, a @ b)


def products(n):
    """Yield products of what has other strides, begins elsewhere or is transposed; and factors."""
    for w, y in zip(n.weights, n.activities[1:], strict=True):
        squares = [w, w[:, :2], w[:, 1:], w[..., 3:], w[..., ::2], w.mT, y, y + 1, y[:, 1:], y.mT]
        for a, b in [(y, w), (y.mT[:, 1:], y - 1), *((x, x.mT) for x in squares)]:
            yield n.product(a, b), a, b


def test_noise_of_a_forward_hook_is_the_same_by_any_number_of_threads():
    spec = RunSpec(rule="bp+own-forward", seeds=4, backend="eager", **SMALL)
    one, three = (run(spec, rules=[OwnForward], threads=threads) for threads in (1, 3))
    assert one.curves.equals(three.curves)


def test_what_draws_random_numbers_is_measured_the_same_by_any_number_of_threads():
    drawing = probe_of(lambda n: {"mine": torch.rand(len(n.weights[0]), n.network.depth)})
    spec = RunSpec(rule="0.01*noisy", seeds=6, probes=("mine", "update-norm"), **SMALL)
    one, three = (
        repeatable(spec, rules=[Noisy], probes=[drawing], threads=threads).curves
        for threads in (1, 3)
    )
    assert one["mine"].equals(three["mine"])
    assert one["mine"].sel(seed=0).equals(one["mine"].sel(seed=5).assign_coords(seed=0))


def test_random_numbers_that_are_drawn_at_some_points_only_are_an_error():
    def drawing_late():
        asked = itertools.count()
        return probe_of(
            lambda n: {"mine": (torch.rand if next(asked) else torch.zeros)(len(n.weights[0]), 3)}
        )

    spec = RunSpec(rule="bp", seeds=4, probes=("residual", "mine"), **SMALL)
    with pytest.raises(PlasticError) as caught:
        run(spec, probes=[drawing_late()])
    assert str(caught.value) == (
        "the probes 'mine', 'residual': one of them, or a rule that it looks at, drew random "
        "numbers and had drawn none before training; expected them at every point or at none"
    )
