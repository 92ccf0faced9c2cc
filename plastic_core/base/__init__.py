"""What every room stands on: errors, specifications, files, statistics. No torch."""
