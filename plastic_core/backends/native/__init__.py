"""The native backend: a C loop generated for the rules of a run."""
