"""The built-in plasticity rules, one file each; they come in through entry points."""
