"""Updates per CPU-second of the backends, beside what users would write without plastic.

Everything runs in one process, in turns: the speed of a shared machine changes from second to
second, so that only ratios taken within a round mean something.
"""
