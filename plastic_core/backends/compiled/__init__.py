"""torch.compile over several steps."""
