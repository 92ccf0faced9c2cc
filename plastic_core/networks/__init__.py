"""Networks: how activity goes forward, how errors come back, and how weights begin."""
