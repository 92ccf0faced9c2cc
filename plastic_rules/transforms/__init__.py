"""The built-in transforms of the summed increment, one file each."""
