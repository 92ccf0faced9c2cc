"""The conformance kit: the tests that every plugin of a kind passes, built-in or not.

Three lines, and pytest runs them all::

    from plastic_core.testing import RuleConformance

    class TestMyRule(RuleConformance):
        rule = MyRule

``plastic check`` runs the same checks on what is installed, on a folder or on a file.
"""

from plastic_core.testing.kit import (
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

__all__ = [
    "ActivationConformance",
    "InitialisationConformance",
    "LayerConformance",
    "LossConformance",
    "ObserverConformance",
    "ProbeConformance",
    "RuleConformance",
    "TaskConformance",
    "TransformConformance",
]
