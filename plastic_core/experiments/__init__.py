"""Runs, sweeps, searches, meta-learning, figures of the paper, reports."""
