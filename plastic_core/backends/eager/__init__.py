"""PyTorch operation by operation: the reference."""
