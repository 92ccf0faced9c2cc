"""Networks: parameters, how activity goes forward, how errors come back."""
