"""The hooks of rules as plain functions, each tried once."""
