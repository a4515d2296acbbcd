"""Classifiers that prove, or disprove, the use of generated chips."""
