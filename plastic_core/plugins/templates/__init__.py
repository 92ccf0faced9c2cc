"""The files that ``plastic new-rule`` and ``plastic new-task`` write; ``$name`` is filled in."""
