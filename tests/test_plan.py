"""Where theta comes from, which layers a rule acts on, and which rules go together."""

import pytest

from plastic_core import PlasticError, RunSpec
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue


def plan(rule, task="mnist-mlp", settings=None, **options):
    return make_plan(
        RunSpec(rule=rule, task=task, settings=settings or {}, options=options), Catalogue()
    )


def thetas(made):
    return {r.name: (r.theta, r.origin) for r in made.rules}


def test_precedence_of_theta():
    recommended = "recommended by mnist-mlp"
    assert thetas(plan("oja+bp")) == {"oja": (3.16e-5, recommended), "bp": (0.0079, recommended)}
    assert thetas(plan("0.5*oja+bp")) == {"oja": (0.5, "expression"), "bp": (0.0079, recommended)}
    assert thetas(plan("oja+bp", settings={"bp": {"theta": 0}}))["bp"] == (0.0, "setting")
    assert thetas(plan("oja+bp+hebbian"))["bp"] == (0.005, "default of the rule")


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [
        ("bp", {}, {"bp": 0.0158}),
        ("bp+oja", {}, {"bp": 0.0079, "oja": 3.16e-5}),
        ("bp", {"layers": 10}, {"bp": 0.01}),
        ("bp+oja", {"layers": 10}, {"bp": 0.00215, "oja": 0.001}),
        ("bp", {"sizes": "784" + ",100" * 9 + ",10"}, {"bp": 0.0126}),
        ("bp+oja", {"sizes": "784" + ",100" * 9 + ",10"}, {"bp": 0.005, "oja": 1e-4}),
        ("bp+oja", {"init": "naive"}, {"bp": 0.0032, "oja": 0.0056}),
        ("fa", {}, {"fa": 0.0032}),
        ("fa+oja", {}, {"fa": 0.01, "oja": 1e-4}),
    ],
)
def test_recommended_thetas_by_rules_depth_and_initialisation(rule, options, expected):
    assert {name: theta for name, (theta, _) in thetas(plan(rule, **options)).items()} == expected


@pytest.mark.parametrize(
    ("value", "layers"),
    [("1-4", (1, 2, 3, 4)), ("2", (2,)), (3, (3,)), ("5,1-2", (1, 2, 5)), ([4, 2], (2, 4))],
)
def test_layers(value, layers):
    assert plan("oja", settings={"oja": {"layers": value}}).rules[0].layers == layers


def test_the_spec_is_written_out():
    assert plan("0.5*oja+bp", settings={"oja": {"layers": "1-4"}}).spec.settings == {
        "oja": {"layers": "1-4"},
        "bp": {"theta": 0.0079},
    }


RULES, TASKS = (", ".join(sorted(Catalogue().names(kind))) for kind in ("rule", "task"))
FAULTS = {
    "unknown rule": (
        lambda: plan("oia+bp"),
        "there is no rule 'oia'; did you mean 'oja'?\n"
        f"  installed rules: {RULES}\n  'plastic plugins' shows where each comes from",
    ),
    "unknown task": (
        lambda: plan("bp", task="mnist"),
        "there is no task 'mnist'; did you mean 'mnist-cnn' or 'mnist-mlp'?\n"
        f"  installed tasks: {TASKS}\n  'plastic plugins' shows where each comes from",
    ),
    "unknown option": (
        lambda: plan("bp", layer=5),
        "options of mnist-mlp: there is no 'layer' (value 5); did you mean 'layers'?\n"
        "  accepted are activation, bias, dataset, image, init, init_std, layer_norm, layers, loss, "
        "net, residual, sizes",
    ),
    "bad option": (
        lambda: plan("bp", init="xaver"),
        "there is no initialisation 'xaver'; did you mean 'xavier'?\n"
        "  installed initialisations: identity, kaiming, naive, orthogonal, xavier, zeros\n"
        "  'plastic plugins' shows where each comes from",
    ),
    "negative theta": (
        lambda: plan("-0.1*bp"),
        "theta of 'bp' = -0.1: expected a finite number of at least 0",
    ),
    "theta that is not finite": (
        lambda: plan("bp", settings={"bp": {"theta": float("inf")}}),
        "theta of 'bp' = inf: expected a finite number of at least 0",
    ),
    "theta that is no number": (
        lambda: plan("bp", settings={"bp": {"theta": "big"}}),
        "theta of 'bp' = 'big': expected a finite number of at least 0",
    ),
    "theta beyond its bounds": (
        lambda: plan("2*weight-decay"),
        "theta of 'weight-decay' = 2.0: expected a number from 0 to 1",
    ),
    "theta twice": (
        lambda: plan("0.1*bp", settings={"bp": {"theta": 0.2}}),
        "theta of 'bp' is given twice: 0.1 in the expression and 0.2 as a setting; keep one",
    ),
    "setting of nothing": (
        lambda: plan("bp", settings={"oja": {"theta": 1}}),
        "setting of 'oja': it is no rule, transform or probe of this run\n  this run has bp",
    ),
    "unknown setting": (
        lambda: plan("bp", settings={"bp": {"tetha": 1}}),
        "setting of 'bp': there is no 'tetha' (value 1); did you mean 'theta'?\n"
        "  accepted are layers, theta",
    ),
    "unknown parameter": (
        lambda: plan("fa+b-update", settings={"b-update": {"printd": True}}),
        "setting of 'b-update': there is no 'printd' (value True); did you mean 'printed'?\n"
        "  accepted are printed",
    ),
    "layers": (
        lambda: plan("bp", settings={"bp": {"layers": "0-9"}}),
        "layers of 'bp' = '0-9': expected layers from 1 to 5, such as 1-5 or 1,5, "
        "or their names: dense1, dense2, dense3, dense4, readout",
    ),
    "two propagators": (
        lambda: plan("bp+fa"),
        "bp and fa both propagate the error, and a run has one error pass; keep one of them",
    ),
    "no propagator": (
        lambda: plan("oja+hebbian-error"),
        "hebbian-error read the error, but no rule of the expression propagates it; add one of bp, dfa, fa, kolen-pollack, sign-symmetric",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_explained(fault):
    make, message = FAULTS[fault]
    with pytest.raises(PlasticError) as caught:
        make()
    assert str(caught.value) == message
