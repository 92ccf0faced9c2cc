"""From a specification to a checked plan, before torch is loaded."""
