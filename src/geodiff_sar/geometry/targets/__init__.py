"""Targets by name: the four aircraft of the published chips, seeded vehicles and seeded composites."""

from geodiff_sar.geometry.targets.names import build_target, canonical_name, target_names

__all__ = ["build_target", "canonical_name", "target_names"]
