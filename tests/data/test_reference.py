"""References of many chips, against the rule applied to every pair."""

from pathlib import Path

import numpy as np

from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.data.reference import ReferencePool
from geodiff_sar.data.sample import Sample


def chips(count: int, seed: int) -> list[Sample]:
    """Few azimuths and contents, so that there are ties and copies; some chips have no azimuth."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        target, polarisation = rng.choice(["A", "B"]), rng.choice(["HH", "VV"])
        azimuth = float(rng.choice([0.0, 5.0, 180.0, 350.0, 355.0]))
        text = f"SAR image,{target},X-band,High,{polarisation}-Polarization,{azimuth}"
        pose = None if rng.random() < 0.1 else Pose(azimuth)
        path = Path(f"/chips/{rng.integers(count // 2)}.png")
        found.append(Sample(f"{k:03d}", path, parse_caption(text, "a test"), text, pose, None))
    return found


def content(path: Path) -> str:
    return str(int(path.stem) // 2)


def by_all_pairs(sample: Sample, pool: list[Sample]) -> Sample | None:
    def order(other: Sample) -> tuple[bool, float, bool, str]:
        away = 360.0
        if sample.pose is not None and other.pose is not None:
            away = abs(sample.pose.azimuth_deg - other.pose.azimuth_deg) % 360.0
            away = min(away, 360.0 - away)
        return (away == 0.0, away, other.caption.polarisation != sample.caption.polarisation, other.id)

    others = [
        other
        for other in pool
        if other.caption.target == sample.caption.target and content(other.image_path) != content(sample.image_path)
    ]
    return min(others, key=order, default=None)


def test_the_choice_is_that_of_the_rule():
    for seed in range(5):
        pool = chips(60, seed)
        references = ReferencePool(pool, content)
        for sample in [*pool, *chips(10, seed + 100)]:
            assert references.choose(sample) == by_all_pairs(sample, [o for o in pool if o.id != sample.id])


def test_none_is_left():
    pool = chips(40, 0)
    only = next(sample for sample in pool if sample.caption.target == "A")
    assert ReferencePool([only], content).choose(only) is None
    assert ReferencePool([s for s in pool if s.caption.target == "B"], content).choose(only) is None


def test_files_are_looked_at_only_where_they_may_be_chosen():
    """In a set of thousands of chips not every pair of files is compared."""
    pool = chips(400, 0)
    looked: list[Path] = []

    def counted(path: Path) -> str:
        looked.append(path)
        return content(path)

    references = ReferencePool(pool, counted)
    for sample in pool:
        references.choose(sample)
    assert len(looked) < 20 * len(pool)
