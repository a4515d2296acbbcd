"""Ray engines: same scene, same request, same hits; each in one file."""

from geodiff_sar.geometry.engines.base import ENGINES, Engine, Scene, TraceRequest

__all__ = ["ENGINES", "Engine", "Scene", "TraceRequest"]
