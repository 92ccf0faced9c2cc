"""From data, plan and backend to learning curves."""
