"""``plastic check``: all faults of a package, a folder or a file at once.

targets.py finds the plugins, source.py reads what cannot be imported, inspecting.py runs the
checks of the conformance kit on each and says where a fault is.
"""
