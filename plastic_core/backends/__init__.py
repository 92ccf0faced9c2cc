"""What carries out a step. Every backend trains the same parameters to the same numbers."""
