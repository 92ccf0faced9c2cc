"""What learning changes: weights, feedback and states, and how they begin."""
