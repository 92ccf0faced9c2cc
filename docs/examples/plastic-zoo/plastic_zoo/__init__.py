"""Published plasticity rules of many kinds, for plastic."""
