"""What is to be said of a rule, as labels and texts."""

from __future__ import annotations

from plastic_core.api.specs import RuleSpec


def facts_of(spec: RuleSpec) -> list[tuple[str, str]]:
    """Return what a rule's specification says, but for its name, summary and equation."""
    facts = [
        ("source", spec.reference),
        ("theta", spec.accepted_thetas),
        ("modifies", ", ".join(sorted(spec.modifies))),
        ("reads", ", ".join(sorted(spec.reads)) or "nothing"),
        ("propagates", "yes" if spec.propagates else "no"),
        ("feedback", spec.feedback or "none"),
    ]
    for name, state in spec.state.items():
        initial = state.initial if isinstance(state.initial, str) else f"{state.initial:g}"
        facts.append((f"state {name}", f"over {state.over}, initially {initial}"))
    facts += [(f"noise {name}", "standard normal") for name in sorted(spec.noise)]
    facts += [("passes", f"{spec.passes} in an update")] if spec.passes > 1 else []
    if spec.settle is not None:
        phases = ", ".join(spec.settle.phases)
        facts.append(("settles", f"{spec.settle.steps} steps of {phases}"))
    return facts
