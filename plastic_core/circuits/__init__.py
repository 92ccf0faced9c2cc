"""From the specification of a network to its circuit, before torch is loaded."""
