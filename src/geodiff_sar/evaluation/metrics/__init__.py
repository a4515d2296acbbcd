"""Metrics, one file each."""

from geodiff_sar.core.registry import Registry
from geodiff_sar.evaluation.base import Metric

METRICS: Registry[type[Metric]] = Registry("metric", "--metrics", "geodiff_sar.evaluation.metrics")
