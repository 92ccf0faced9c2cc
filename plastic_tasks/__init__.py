"""The built-in tasks, one file each; they come in through entry points."""
