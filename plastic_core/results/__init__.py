"""What a run leaves: curves, cells, the store, the folder of a run."""
