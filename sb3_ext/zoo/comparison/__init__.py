"""Algorithms against each other over several seeds: the grid of runs, statistics, the report."""
