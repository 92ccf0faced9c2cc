"""What a claim compares, in words."""

from __future__ import annotations

from typing import Any


def with_correction(verdict: Any) -> str:
    """Return a verdict as claims.json holds it, and in brackets what Holm's correction leaves."""
    corrected = verdict.get("corrected", verdict["verdict"])
    differs = verdict["verdict"] == "holds" and corrected != "holds"
    return f"{verdict['verdict']} (corrected: {corrected})" if differs else str(verdict["verdict"])


def describe(claim: Any) -> str:
    """Return the measure and the two sides of a claim, as claims.json holds it."""
    first, *second = claim["arms"]
    other = f"{claim['against']}, {second[0]}" if claim.get("against") else "".join(second)
    other = other or f"{claim['value']:g}"
    step = f" after {claim['step']:,} points" if claim.get("step") else ""
    return f"{claim['network']}, {claim['measure']}{step}: {first} less {other}"


def published(claim: Any) -> str:
    """Return what was published beside a claim, and where, or nothing."""
    told = [claim[key] for key in ("published", "source") if claim.get(key)]
    return f"published: {' - '.join(told)}" if told else ""
