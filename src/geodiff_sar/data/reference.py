"""Which chip serves as the reference image of another: never the chip itself."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from geodiff_sar.data.sample import Sample

NO_AZIMUTH = 360.0
"""Distance where one of two chips has no azimuth: beyond all others."""


class ReferencePool:
    """Chips that may be references.

    Args:
        pool: the chips.
        content: gives the hash of a file: a copy of a chip under another name is the chip itself and is passed over.
    """

    def __init__(self, pool: Sequence[Sample], content: Callable[[Path], str]):
        self._content = content
        targets: dict[str, list[Sample]] = defaultdict(list)
        for sample in sorted(pool, key=lambda sample: sample.id):
            targets[sample.caption.target].append(sample)
        self._targets = dict(targets)
        self._azimuths = {
            name: np.array([np.nan if s.pose is None else s.pose.azimuth_deg for s in of])
            for name, of in targets.items()
        }

    def choose(self, sample: Sample) -> Sample | None:
        """Another chip of the same target with the nearest azimuth, or None when there is none.

        A chip at another azimuth is preferred to one at the same azimuth (which differs only in polarisation or is a repeat
        measurement); ties go to the same polarisation, then to the smallest id.
        """
        others = self._targets.get(sample.caption.target, [])
        if not others:
            return None
        azimuth = np.nan if sample.pose is None else sample.pose.azimuth_deg
        away = np.abs(self._azimuths[sample.caption.target] - azimuth) % 360.0
        away = np.minimum(away, 360.0 - away)
        away = np.where(np.isnan(away), NO_AZIMUTH, away)
        other_polarisation = np.array([o.caption.polarisation != sample.caption.polarisation for o in others])
        for place in np.lexsort((np.arange(len(others)), other_polarisation, away, away == 0.0)):
            if self._is_another(others[place], sample):
                return others[place]
        return None

    def _is_another(self, other: Sample, sample: Sample) -> bool:
        return (
            other.id != sample.id
            and other.image_path.resolve() != sample.image_path.resolve()
            and self._content(other.image_path) != self._content(sample.image_path)
        )
