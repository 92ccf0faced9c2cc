"""The one module that plugins import: base classes, specs, hook marker and updates.

It loads no torch.
"""

from plastic_core.errors import DataError, PlasticError
from plastic_core.fewshot import FewShotOptions, divide
from plastic_core.hookspecs import hookimpl
from plastic_core.network_specs import NetworkOptions, NetworkSpec, RecurrentOptions, RecurrentSpec
from plastic_core.plugins import DataDir, Dataset, Probe, Rule, Task, Transform
from plastic_core.signals import Signals
from plastic_core.snapshot import PointIncrements, Snapshot
from plastic_core.specs import (
    API_VERSION,
    Measure,
    ProbeSpec,
    Recommended,
    RuleSpec,
    State,
    TaskSpec,
    Theta,
    TransformSpec,
)
from plastic_core.transforming import Increment
from plastic_core.updates import Update, decay, outer
from plastic_core.validation import Spec

__all__ = [
    "API_VERSION",
    "DataDir",
    "DataError",
    "Dataset",
    "FewShotOptions",
    "Increment",
    "Measure",
    "NetworkOptions",
    "NetworkSpec",
    "PlasticError",
    "PointIncrements",
    "Probe",
    "ProbeSpec",
    "Recommended",
    "RecurrentOptions",
    "RecurrentSpec",
    "Rule",
    "RuleSpec",
    "Signals",
    "Snapshot",
    "Spec",
    "State",
    "Task",
    "TaskSpec",
    "Theta",
    "Transform",
    "TransformSpec",
    "Update",
    "decay",
    "divide",
    "hookimpl",
    "outer",
]
