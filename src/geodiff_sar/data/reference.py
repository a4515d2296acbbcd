"""Which chip serves as the reference image of another: never the chip itself."""

from collections.abc import Callable
from pathlib import Path

from geodiff_sar.data.sample import Sample


def choose_reference(sample: Sample, pool: list[Sample], content: Callable[[Path], str]) -> Sample | None:
    """Another chip of the same target with the nearest azimuth, or None when there is none.

    ``content`` gives the hash of a file: a copy of the chip under another name is the chip itself and is passed over.

    A chip at another azimuth is preferred to one at the same azimuth (which differs only in polarisation or is a repeat
    measurement); ties go to the same polarisation, then to the smallest id.
    """

    def order(other: Sample) -> tuple[bool, float, bool, str]:
        away = _azimuth_distance(sample, other)
        return (away == 0.0, away, other.caption.polarisation != sample.caption.polarisation, other.id)

    others = [
        other
        for other in pool
        if other.id != sample.id
        and other.image_path.resolve() != sample.image_path.resolve()
        and other.caption.target == sample.caption.target
        and content(other.image_path) != content(sample.image_path)
    ]
    return min(others, key=order, default=None)


def _azimuth_distance(first: Sample, second: Sample) -> float:
    if first.pose is None or second.pose is None:
        return 360.0
    away = abs(first.pose.azimuth_deg - second.pose.azimuth_deg) % 360.0
    return min(away, 360.0 - away)
