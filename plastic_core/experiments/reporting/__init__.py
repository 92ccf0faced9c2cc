"""Reports: one self-contained page from the folders of runs and figures."""
