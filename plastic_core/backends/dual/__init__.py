"""Derivatives of a step with respect to the thetas."""
