"""Every built-in plugin passes the kit that third parties use."""

import numpy as np
import pytest

from plastic_core.plugins.catalogue import Catalogue
from plastic_core.testing import (
    ActivationConformance,
    InitialisationConformance,
    LayerConformance,
    LossConformance,
    ObserverConformance,
    ProbeConformance,
    RuleConformance,
    TaskConformance,
    TransformConformance,
)
from tests.reference import slow


def built_in(kind):
    entries = Catalogue().entries(kind)
    return {e.name: e.plugin for e in entries if e.distribution == "plastic-learning"}


RULES, PROBES, TASKS = built_in("rule"), built_in("probe"), built_in("task")
ACTIVATIONS, LAYERS = built_in("activation"), built_in("layer")
LOSSES, INITIALISATIONS = built_in("loss"), built_in("initialisation")
TRANSFORMS, OBSERVERS = built_in("transform"), built_in("observer")


def reference_of(name, params):
    """Return the slow loop of tests/reference as a reference of the kit."""
    function = getattr(slow, name.replace("-", "_"))

    def reference(s):
        n = slow.Layer()
        n.x, n.y, n.e, n.e0 = s.pre, s.post, s.error, s.pre_error
        if "oja" in name or name == "sanger":
            n.x = s.source
        n.W, n.B, n.lam = s.weight, getattr(s, "feedback", None), getattr(params, "decay", 0)
        increment = function(n)
        both = {"W": "forward", "B": "feedback"}
        named = {both[key]: value for key, value in increment.items()}
        return named if len(named) > 1 else next(iter(named.values()))

    return reference


class TestRules(RuleConformance):
    @pytest.fixture(autouse=True, params=RULES)
    def _each(self, request):
        self.rule = RULES[request.param]
        self.reference = reference_of(request.param, self.rule().params)
        self.error_reference = ERRORS.get(request.param)


ERRORS = {
    "bp": lambda s: s.weight.T @ s.error,
    "fa": lambda s: s.feedback @ s.error,
    "dfa": lambda s: s.feedback @ s.output_error,
    "sign-symmetric": lambda s: (np.abs(s.feedback) * np.sign(s.weight.T)) @ s.error,
    "kolen-pollack": lambda s: s.feedback @ s.error,
}


def test_every_rule_that_propagates_has_a_reference():
    assert {name for name, rule in RULES.items() if rule.spec.propagates} == set(ERRORS)

    @pytest.mark.usefixtures("compilers")
    def test_native_agrees_with_eager(self):
        super().test_native_agrees_with_eager()

    @pytest.mark.usefixtures("compilers")
    def test_compiled_agrees_with_eager(self):
        super().test_compiled_agrees_with_eager()


class TestProbes(ProbeConformance):
    @pytest.fixture(autouse=True, params=PROBES)
    def _each(self, request):
        self.probe = PROBES[request.param]


class TestActivations(ActivationConformance):
    @pytest.fixture(autouse=True, params=ACTIVATIONS)
    def _each(self, request):
        self.activation = ACTIVATIONS[request.param]


class TestLayers(LayerConformance):
    @pytest.fixture(autouse=True, params=LAYERS)
    def _each(self, request):
        self.layer = LAYERS[request.param]


class TestLosses(LossConformance):
    @pytest.fixture(autouse=True, params=LOSSES)
    def _each(self, request):
        self.loss = LOSSES[request.param]


class TestInitialisations(InitialisationConformance):
    @pytest.fixture(autouse=True, params=INITIALISATIONS)
    def _each(self, request):
        self.initialisation = INITIALISATIONS[request.param]


@pytest.mark.usefixtures("compilers")
class TestTransforms(TransformConformance):
    @pytest.fixture(autouse=True, params=TRANSFORMS)
    def _each(self, request):
        self.transform = TRANSFORMS[request.param]


class TestObservers(ObserverConformance):
    @pytest.fixture(autouse=True, params=OBSERVERS)
    def _each(self, request):
        self.observer = OBSERVERS[request.param]


class TestTasks(TaskConformance):
    # own-data has data where a run brings them along
    @pytest.fixture(autouse=True, params=[name for name in TASKS if name != "own-data"])
    def _each(self, request, small_mnist):
        self.task, self.data_dir = TASKS[request.param], small_mnist


class TestRealMnist(TaskConformance):
    task = TASKS["mnist-mlp"]

    @pytest.fixture(autouse=True)
    def _folder(self, mnist_dir):
        self.data_dir = mnist_dir
