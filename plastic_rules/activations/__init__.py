"""The built-in activation functions, one file each."""
