"""Training and judged chips must be different chips."""

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.neighbours import near_duplicates

LISTED = 5


def require_apart(training: ChipSet, judged: ChipSet) -> None:
    """Refuse two parts that share chips, by content or nearly.

    Raises:
        DataError: names the pairs and how near they are.
    """
    pairs = near_duplicates(training, judged)
    if not pairs:
        return
    listed = "; ".join(f"{a} and {b} (distance {distance:.4f})" for a, b, distance in pairs[:LISTED])
    more = f" and {len(pairs) - LISTED} more" if len(pairs) > LISTED else ""
    raise DataError(
        f"{training.name} and {judged.name}",
        f"{len(pairs)} pairs of the same chip: {listed}{more}",
        "no chip, nor a copy of it, is in both parts",
        "remove these chips from one part, or make the split anew",
    )
