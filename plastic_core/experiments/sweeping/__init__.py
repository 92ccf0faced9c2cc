"""Sweeps: grid.py reads axes, arms.py expands them, blocks.py packs networks and trains them.

executors.py says where, and sweep.py does it all, one finished block after the other.
"""
