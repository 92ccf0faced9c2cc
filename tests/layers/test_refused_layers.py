"""Networks and layers that are refused: one message each, which says where."""

import re

import numpy as np
import pytest

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Map
from plastic_core.cli import execute
from tests.layers.test_layers import SMALL, SPARSE, WINNERS, SparseLayer, WinnersLayer, train

REFUSED = {
    "dense 9 / / dense 7": "net = 'dense 9 / / dense 7': expected 1 to 1000 layers divided by ' / ', "
    "such as 'dense 100 / dense 50', or a list of them",
    "dense 9 units 8": "layer 1 of net, 'dense 9 units 8': 'dense': 'units' is given twice; keep one "
    "of them",
    "dens 9": "layer 1 of net, 'dens 9': there is no layer 'dens'; did you mean 'dense'?",
    "dense": "layer 1 of net, 'dense': units: is required and missing",
    "dense 9 / dense 0": "layer 2 of net, 'dense 0': units = '0': input should be greater than 0",
    "dense 9 bias residuals": "layer 1 of net, 'dense 9 bias residuals': 'dense' takes no "
    "'residuals'; did you mean 'residual'?\n"
    "  it takes activation, bias, connections, init, layer-norm, residual, units",
    "dense 9 activation": "layer 1 of net, 'dense 9 activation': 'dense': 'activation' has no "
    "value; write activation VALUE",
    "dense 9 activation tan": "layer 1 of net, 'dense 9 activation tan': there is no activation "
    "'tan'; did you mean 'tanh'?",
    "dense 9 residual": "layer 1 of net, 'dense 9 residual': residual: the 64 units that it reads "
    "cannot be added to its own 9; give both the same number",
    "dense 9 / winners 10": "layer 2 of net, 'winners 10': k: there are 9 units; write at most as "
    "many",
}


@pytest.mark.parametrize("net", REFUSED)
def test_what_does_not_parse_or_fit_is_one_message(net, tmp_path, capsys):
    code = tmp_path / "winners.py"
    code.write_text(WINNERS)
    assert execute(["run", "--plugin", str(code), "--net", net]) == 2
    said = capsys.readouterr().err
    assert REFUSED[net] in said, said
    assert "Traceback" not in said


def test_layers_of_nothing_by_name_are_refused():
    with pytest.raises(PlasticError) as refused:
        train({"net": [{"units": 9}]})
    assert str(refused.value) == (
        "layer 1 of net, {'units': 9}: expected the name of a layer under 'layer'"
    )
    with pytest.raises(PlasticError) as refused:
        train({"net": "dense 9", "sizes": [64, 9, 10]})
    assert "give either sizes or net, not both" in str(refused.value)


def test_residual_without_an_effect_is_refused():
    with pytest.raises(PlasticError) as refused:
        train({"net": "dense 9 / dense 8", "residual": True})
    assert str(refused.value) == (
        "residual: no two successive layers are of equal size, so "
        "that there is nothing to connect; give some the same number of units"
    )


def build_fails(build, backend="eager"):
    """Return what is said of a layer with another build()."""
    spec = SparseLayer.spec.model_copy(update={"name": "failing"})
    failing = type("Failing", (SparseLayer,), {"spec": spec, "build": build})
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(options={"net": "failing 9"}, backend=backend, **SMALL), parts=[failing])
    return str(refused.value).removeprefix("layer 1 of net, 'failing 9': ")


def leave(code):
    raise SystemExit(code)


BUILDS = {
    "mask of shape (3, 3): expected (4, 64), n_post and n_pre": (
        lambda self, net, x: net.project(x, 4, mask=np.ones((3, 3), bool))
    ),
    "mask of ndarray: expected a NumPy array of truth values, (4, 64)": (
        lambda self, net, x: net.project(x, 4, mask=np.full((4, 64), 0.5))
    ),
    "build() of the layer 'failing' raised ZeroDivisionError: division by zero": (
        lambda self, net, x: 1 / 0
    ),
    "build() of the layer 'failing' raised SystemExit: 3": lambda self, net, x: leave(3),
    "build() of the layer 'failing' returned 'nothing'; expected a population of the network": (
        lambda self, net, x: "nothing"
    ),
    "units = 0: expected a whole number of at least 1": lambda self, net, x: net.project(x, 0),
    "units = 10.5: expected a whole number of at least 1": lambda self, net, x: net.project(
        x, 10.5
    ),
    "bias = 'no': expected True, False, or None for the network's": (
        lambda self, net, x: net.project(x, 4, bias="no")
    ),
    "'y0' is no population of this network; give one that it made": (
        lambda self, net, x: net.project("y0", 4)
    ),
}


@pytest.mark.parametrize("message", BUILDS)
def test_a_layer_that_fails_is_named(message):
    assert build_fails(BUILDS[message]) == message


def test_a_projection_that_nothing_reads_is_refused():
    def build(self, net, x):
        net.project(x, 7)
        return net.project(x, 4)

    assert build_fails(build) == (
        "a projection to 7 units is read by nothing; let build() return what is made of it, or leave "
        "it out"
    )


class Odd(Map):
    """Gives what its function makes of the activity."""

    def __init__(self, function, back=None):
        self.function, self.back = function, back

    def forward(self, *inputs):
        return self.function(inputs[0])

    def backward(self, error, kept):
        return self.back(error)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (Odd(lambda y: y), "forward raised TypeError: it returned torch.float64 [1, 250, 64]; "
         "expected y and what backward() needs"),
        (Odd(lambda y: (y.float(), y)), "forward raised TypeError: y is torch.float32 [1, 250, 64]; "
         "expected torch.float64 [1, 250, 64]"),
        (Odd(lambda y: (y[..., :3], y)), "forward raised TypeError: y is torch.float64 [1, 250, 3]; "
         "expected torch.float64 [1, 250, 64]"),
        (Odd(lambda y: (y, y), lambda e: (e, e)), "backward raised TypeError: it returned a tuple of "
         "2; expected a tuple of 1"),
    ],
)  # fmt: skip
def test_what_a_map_gives_is_checked(odd, said):
    def build(self, net, x):
        return net.apply(odd, net.activate(net.project(x, 64)))

    message = build_fails(build)
    shape = r"\[\d+, \d+, (\d+)\]"
    same = [re.sub(shape, r"[R, K, \1]", text) for text in (message, said)]
    assert same[0].startswith(f"the map 'Odd' failed: {same[1]}")


def test_parts_are_classes_of_parts():
    for wrong in (SparseLayer, [SparseLayer()], [dict]):
        with pytest.raises(PlasticError) as refused:
            run(RunSpec(**SMALL), parts=wrong)
        assert str(refused.value) == (
            f"parts = {wrong!r}: expected a list of classes of a layer, activation, "
            "initialisation or loss, such as [MyLayer]"
        )


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("draw = np.random.default_rng(options.seed)", "builds another network at each call"),
        (
            "return net.activate",
            "a map keeps the precision, and is applied with units=N where it changes their number",
        ),
    ],
)
def test_check_finds_what_is_wrong_with_a_layer(code, found, tmp_path, capsys):
    wrong = {
        "draw = np.random.default_rng(options.seed)": "draw = np.random.default_rng()",
        "return net.activate": "return net.apply(_Half(), x, units=4) or net.activate",
    }[code]
    half = (
        "\nfrom plastic_core.api import Map\n\nclass _Half(Map):\n"
        "    def forward(self, *inputs):\n        return inputs[0][..., :3], inputs\n\n"
    )
    file = tmp_path / "sparse.py"
    file.write_text(
        SPARSE.replace(code, wrong).replace("\n\nclass SparseO", half + "class SparseO")
    )
    assert execute(["check", str(file)]) == 1
    assert found in capsys.readouterr().out


class Fragile(WinnersLayer):
    """Winners of which the last evaluations are too many."""

    spec = WinnersLayer.spec.model_copy(update={"name": "fragile"})

    def build(self, net, x):
        return net.apply(Breaking(), x)


class Breaking(Map):
    """Fails where there are more than 100 points."""

    def forward(self, *inputs):
        return inputs[0] / (1 if inputs[0].shape[1] <= 100 else 1 // 0), inputs


def test_a_map_that_fails_is_named():
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(options={"net": "dense 9 / fragile 3"}, **SMALL), parts=[Fragile])
    assert re.fullmatch(
        r"the map 'Breaking' failed: forward raised ZeroDivisionError: integer division or modulo by "
        r"zero in line \d+.*",
        str(refused.value),
    )
