"""The Bienenstock-Cooper-Munro rule, for plastic."""
