"""Benchmarks: both sides in one run, medians of turns."""
