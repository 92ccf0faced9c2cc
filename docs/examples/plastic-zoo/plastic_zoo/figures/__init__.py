"""Published claims about the rules, each a figure of ``plastic reproduce zoo/NAME``."""
