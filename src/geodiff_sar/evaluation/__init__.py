"""Judging generated chips against real ones, and the classifiers that prove their use."""
