"""Rules on the layers of a user's own PyTorch module."""
