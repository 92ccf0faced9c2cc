"""The classes that a plugin's tests subclass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from plastic_core.api.activation import Activation
from plastic_core.api.initialisation import Initialisation
from plastic_core.api.layer import Layer
from plastic_core.api.loss import Loss
from plastic_core.api.observer import Observer
from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.fault import Fault
from plastic_core.testing import (
    activation_checks,
    initialisation_checks,
    layer_checks,
    loss_checks,
    observer_checks,
    probe_checks,
    rule_checks,
    task_checks,
    transform_checks,
)
from plastic_core.testing.reference import check_reference
from plastic_core.testing.task_checks import TriedTask


class RuleConformance:
    """The tests that every rule passes.

    A subclass names the rule, and may give a slow reference::

        class TestMyRule(RuleConformance):
            rule = MyRule

            def reference(self, s):
                return np.outer(s.post, s.pre)

    Attributes:
        rule: the class of the rule.
        reference: None, or a method that takes the signals of one event of one network, as NumPy
            arrays (``s.post`` ``[n_post]``, ``s.weight`` ``[n_post, n_pre]``, ``s.state.x``
            ``[n]``), which returns what the local update does as plain arrays: the increment
            ``[n_post, n_pre]``, a dict of them by matrix, and with state ``(increment, {name:
            new})``. The signals are those of a network: ``s.recon`` is ``s.weight.T @ s.post``.
        forward_reference: the same for `plastic_forward`; it returns z, ``[n_post]``.
        error_reference: the same for `plastic_propagate_error`; it returns ``[n_pre]``.
        input_reference: the same for `plastic_input`; it returns ``[n_0]``.
        settle_reference: the same for `plastic_settle`, in each phase; it returns z, ``[n_post]``,
            or z and the message.
    """

    rule: ClassVar[type[Rule]]
    reference: Any = None
    forward_reference: Any = None
    error_reference: Any = None
    input_reference: Any = None
    settle_reference: Any = None

    def test_signals(self) -> None:
        """Shapes and dtypes, inputs not modified, no read but the declared ones."""
        _none(self.rule, rule_checks.check_signals(self.rule))

    def test_zero_theta_changes_nothing(self) -> None:
        """At theta 0 every weight stays as it is, bit for bit."""
        _none(self.rule, rule_checks.check_zero_theta(self.rule))

    def test_is_pure(self) -> None:
        """An instance that was used before gives the same numbers."""
        _none(self.rule, rule_checks.check_purity(self.rule))

    def test_is_deterministic(self) -> None:
        """Two new instances give the same numbers."""
        _none(self.rule, rule_checks.check_deterministic(self.rule))

    def test_a_replica_is_the_same_alone_and_among_others(self) -> None:
        """Networks side by side do not see each other."""
        _none(self.rule, rule_checks.check_replicas(self.rule))

    def test_a_batch_is_the_mean_of_its_points(self) -> None:
        """The increment of a mini-batch is the mean of the increments of its points."""
        _none(self.rule, rule_checks.check_batch(self.rule))

    def test_derivative_by_theta(self) -> None:
        """The exact derivative of the weights by theta agrees with finite differences."""
        _none(self.rule, rule_checks.check_theta_derivative(self.rule))

    def test_native_agrees_with_eager(self) -> None:
        """The native backend gives the same numbers, where it takes the rule."""
        _none(self.rule, rule_checks.check_native(self.rule))

    def test_learns_in_a_convolution(self) -> None:
        """Where weights are shared the same holds, of theta 0, networks, batches and native."""
        _none(self.rule, rule_checks.check_convolution(self.rule))

    def test_compiled_agrees_with_eager(self) -> None:
        """The compiled backend gives the same numbers, where it takes the rule."""
        _none(self.rule, rule_checks.check_compiled(self.rule))

    def test_equals_its_slow_reference(self) -> None:
        """The local update equals the reference, where there is one."""
        self._compare(self.reference, "plastic_local_update")

    def test_forward_equals_its_slow_reference(self) -> None:
        """The forward hook equals its reference, where there is one."""
        self._compare(self.forward_reference, "plastic_forward")

    def test_error_equals_its_slow_reference(self) -> None:
        """The error hook equals its reference, where there is one."""
        self._compare(self.error_reference, "plastic_propagate_error")

    def test_input_equals_its_slow_reference(self) -> None:
        """What a later pass shows equals its reference, where there is one."""
        self._compare(self.input_reference, "plastic_input")

    def test_settling_equals_its_slow_reference(self) -> None:
        """A step of settling equals its reference, where there is one."""
        self._compare(self.settle_reference, "plastic_settle")

    def _compare(self, reference: Any, hook: str) -> None:
        if reference is not None:
            _none(self.rule, check_reference(self.rule, reference, hook))


class ProbeConformance:
    """The tests that every probe passes.

    A subclass names the probe::

        class TestMyProbe(ProbeConformance):
            probe = MyProbe

    Attributes:
        probe: the class of the probe.
    """

    probe: ClassVar[type[Probe]]

    def test_measures(self) -> None:
        """The measures of the spec in their shapes, with and without errors and feedback."""
        _none(self.probe, probe_checks.check_measures(self.probe))

    def test_measures_something(self) -> None:
        """Each measure has a finite number where there is something to measure."""
        _none(self.probe, probe_checks.check_something(self.probe))

    def test_is_pure(self) -> None:
        """Nothing that the probe is given is modified."""
        _none(self.probe, probe_checks.check_purity(self.probe))

    def test_is_deterministic(self) -> None:
        """The same networks give the same numbers, whatever was measured before."""
        _none(self.probe, probe_checks.check_deterministic(self.probe))

    def test_measures_each_network_by_itself(self) -> None:
        """A network gives the same numbers alone and beside another."""
        _none(self.probe, probe_checks.check_each(self.probe))


class TaskConformance:
    """The tests that every task passes.

    A subclass names the task::

        class TestMyTask(TaskConformance):
            task = MyTask

    Attributes:
        task: the class of the task.
        options: values of its options; the others keep their defaults.
        data_dir: data folder; None for that of the user.
    """

    task: ClassVar[type[Task[Any]]]
    options: ClassVar[Mapping[str, Any]] = {}
    data_dir: ClassVar[Any] = None

    def test_data(self) -> None:
        """Shapes, types and ranges."""
        self._check(task_checks.check_data)

    def test_network_fits_the_data(self) -> None:
        """The first and last layer are those of the data."""
        self._check(task_checks.check_network)

    def test_splits_do_not_overlap(self) -> None:
        """Training points are not held out."""
        self._check(task_checks.check_splits)

    def test_seeds_decide_the_order(self) -> None:
        """The data are the same each time; their order is the seed's."""
        self._check(task_checks.check_order)

    def test_needs_no_network_where_the_data_are_there(self) -> None:
        """Loading a second time touches no socket."""
        self._check(task_checks.check_offline)

    def test_untrained_network_takes_the_data(self) -> None:
        """One forward pass is finite."""
        self._check(task_checks.check_training)

    def _check(self, check: task_checks.Check) -> None:
        _none(self.task, check(TriedTask(self.task, self.options, self.data_dir)))


class LayerConformance:
    """The tests that every layer passes; they build the example of its spec.

    A subclass names the layer::

        class TestMyLayer(LayerConformance):
            layer = MyLayer

    Attributes:
        layer: the class of the layer.
    """

    layer: ClassVar[type[Layer]]

    def test_builds(self) -> None:
        """The example of the spec becomes part of a network, the same each time."""
        _none(self.layer, layer_checks.check_builds(self.layer))

    def test_forward(self) -> None:
        """Activity is finite and has the units announced; networks do not see each other."""
        _none(self.layer, layer_checks.check_forward(self.layer))

    def test_errors_are_those_of_autograd(self) -> None:
        """The increments of gradient descent are those that autograd finds."""
        _none(self.layer, layer_checks.check_error(self.layer))

    def test_learns(self) -> None:
        """Every matrix learns, the same where it is compiled, and masks are kept."""
        _none(self.layer, layer_checks.check_learning(self.layer))

    def test_derivative_by_theta(self) -> None:
        """The exact derivative of the weights by theta agrees with finite differences."""
        _none(self.layer, layer_checks.check_theta_derivative(self.layer))


class ActivationConformance:
    """The tests that every activation function passes.

    A subclass names it::

        class TestMyActivation(ActivationConformance):
            activation = MyActivation

    Attributes:
        activation: its class.
    """

    activation: ClassVar[type[Activation]]

    def test_shapes(self) -> None:
        """Both methods return finite numbers of the shape and type of z, and modify nothing."""
        _none(self.activation, activation_checks.check_shapes(self.activation))

    def test_is_elementwise(self) -> None:
        """What becomes of one unit does not depend on the others."""
        _none(self.activation, activation_checks.check_elementwise(self.activation))

    def test_slope_is_the_derivative(self) -> None:
        """The slope is the derivative, unless it is a surrogate, and reads what the spec says."""
        _none(self.activation, activation_checks.check_slope(self.activation))


class LossConformance:
    """The tests that every loss passes.

    A subclass names the loss::

        class TestMyLoss(LossConformance):
            loss = MyLoss

    Attributes:
        loss: the class of the loss.
    """

    loss: ClassVar[type[Loss]]

    def test_shapes(self) -> None:
        """Every method returns finite numbers in the shape that is expected of it."""
        _none(self.loss, loss_checks.check_shapes(self.loss))

    def test_error_is_the_derivative(self) -> None:
        """The error is the derivative of the loss by z, as autograd finds it."""
        _none(self.loss, loss_checks.check_error(self.loss))

    def test_is_pure(self) -> None:
        """Nothing given is modified, and each network and sample is taken by itself."""
        _none(self.loss, loss_checks.check_purity(self.loss))


class InitialisationConformance:
    """The tests that every initialisation passes.

    A subclass names the initialisation::

        class TestMyInitialisation(InitialisationConformance):
            initialisation = MyInitialisation

    Attributes:
        initialisation: the class of the initialisation.
    """

    initialisation: ClassVar[type[Initialisation]]

    def test_matrices(self) -> None:
        """Finite numbers of float64 in the shape of the matrix."""
        _none(self.initialisation, initialisation_checks.check_matrices(self.initialisation))

    def test_is_repeatable(self) -> None:
        """The generator alone decides the numbers."""
        _none(self.initialisation, initialisation_checks.check_repeatable(self.initialisation))


class TransformConformance:
    """The tests that every transform passes.

    A subclass names the transform::

        class TestMyTransform(TransformConformance):
            transform = MyTransform

    Attributes:
        transform: the class of the transform.
    """

    transform: ClassVar[type[Transform]]

    def test_increment(self) -> None:
        """An increment, and states, of the right shapes; nothing that is given is modified."""
        _none(self.transform, transform_checks.check_increment(self.transform))

    def test_native_agrees_with_eager(self) -> None:
        """The native backend gives the same numbers, where it takes the transform."""
        _none(self.transform, transform_checks.check_native(self.transform))

    def test_compiled_agrees_with_eager(self) -> None:
        """The compiled backend gives the same numbers, where it takes the transform."""
        _none(self.transform, transform_checks.check_compiled(self.transform))


class ObserverConformance:
    """The tests that every observer passes; it is called with a small run that was made up.

    A subclass names the observer::

        class TestMyObserver(ObserverConformance):
            observer = MyObserver

    Attributes:
        observer: the class of the observer.
    """

    observer: ClassVar[type[Observer]]

    def test_class(self) -> None:
        """The spec and the methods are what the core expects."""
        _none(self.observer, observer_checks.check_class(self.observer))

    def test_sees_a_run(self, tmp_path: Path) -> None:
        """No method raises, where a network diverges neither."""
        _none(self.observer, observer_checks.check_run(self.observer, tmp_path))


def _none(plugin: type[Any], faults: list[Fault]) -> None:
    """Fail with all faults, if there are any."""
    if faults:
        lines = [
            f"{plugin.__name__}: {f}\n  for example: {f.example}" for f in dict.fromkeys(faults)
        ]
        raise AssertionError("\n".join(lines))
