"""The paper's figures: figures/*.toml say what is trained, drawn and claimed, in data alone.

figure_files.py reads them, figure_packages.py those of packages; figure_checks.py plans them,
measures.py takes numbers out of curves, claims.py judges, and
reproduce.py does it all; `plastic_core.figures` draws.
"""
