"""The one module that plugins import: base classes, specs, hook marker and updates.

It loads no torch.
"""

from plastic_core.api.activation import Activation, ActivationSpec
from plastic_core.api.circuit import Circuit, Node
from plastic_core.api.circuit_builder import CircuitBuilder
from plastic_core.api.few_shot import FewShotOptions, divide
from plastic_core.api.hookspecs import ProbeHooks, RuleHooks, TransformHooks, hookimpl
from plastic_core.api.image_maps import AveragePool, Flatten, MaxPool, Patches
from plastic_core.api.increment import Increment
from plastic_core.api.initialisation import Initialisation, InitialisationSpec, MatrixShape
from plastic_core.api.layer import Layer, LayerSpec
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.loss import Loss, LossSpec, Score
from plastic_core.api.maps import Activate, Add, Map, Normalise
from plastic_core.api.network_spec import (
    AnyNetwork,
    NetworkOptions,
    NetworkSpec,
    RecurrentOptions,
    RecurrentSpec,
)
from plastic_core.api.observer import ObservedPoint, ObservedRun, Observer, ObserverSpec
from plastic_core.api.plugin import DataDir, Dataset, Probe, Rule, Task, Transform
from plastic_core.api.sequence_spec import SequenceOptions, SequenceSpec
from plastic_core.api.signals import Signals
from plastic_core.api.snapshot import PointIncrements, Snapshot
from plastic_core.api.specs import (
    API_VERSION,
    Measure,
    ProbeSpec,
    Recommended,
    RuleSpec,
    Settle,
    State,
    TaskSpec,
    Theta,
    TransformSpec,
)
from plastic_core.api.token_maps import Attend, Mean, Positions
from plastic_core.api.update import Update, decay, outer
from plastic_core.base.errors import DataError, PlasticError
from plastic_core.base.spec import Spec, SpecError

__all__ = [
    "API_VERSION",
    "Activate",
    "Activation",
    "ActivationSpec",
    "Add",
    "AnyNetwork",
    "Attend",
    "AveragePool",
    "Circuit",
    "CircuitBuilder",
    "DataDir",
    "DataError",
    "Dataset",
    "FewShotOptions",
    "Flatten",
    "Increment",
    "Initialisation",
    "InitialisationSpec",
    "Layer",
    "LayerSpec",
    "LayeredSpec",
    "Loss",
    "LossSpec",
    "Map",
    "MatrixShape",
    "MaxPool",
    "Mean",
    "Measure",
    "NetworkOptions",
    "NetworkSpec",
    "Node",
    "Normalise",
    "ObservedPoint",
    "ObservedRun",
    "Observer",
    "ObserverSpec",
    "Patches",
    "PlasticError",
    "PointIncrements",
    "Positions",
    "Probe",
    "ProbeHooks",
    "ProbeSpec",
    "Recommended",
    "RecurrentOptions",
    "RecurrentSpec",
    "Rule",
    "RuleHooks",
    "RuleSpec",
    "Score",
    "SequenceOptions",
    "SequenceSpec",
    "Settle",
    "Signals",
    "Snapshot",
    "Spec",
    "SpecError",
    "State",
    "Task",
    "TaskSpec",
    "Theta",
    "Transform",
    "TransformHooks",
    "TransformSpec",
    "Update",
    "decay",
    "divide",
    "hookimpl",
    "outer",
]
