"""The built-in probes, one file each: what is measured of a network while it learns."""
