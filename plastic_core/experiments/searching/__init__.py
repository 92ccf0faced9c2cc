"""A search: spec.py reads ranges, study.py keeps the trials, trials.py trains one of them.

folder.py holds what is on disk, and search.py does it all, in one process or in several.
"""
