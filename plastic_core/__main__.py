"""``python -m plastic_core`` is ``plastic``."""

from plastic_core.cli import main

main()
