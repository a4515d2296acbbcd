"""Encoders of geometry, reference image and pose, and their fusion with the pooled text."""
