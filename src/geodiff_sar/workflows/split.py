"""Decide, before any training, which chips are held out."""

from collections import Counter
from pathlib import Path

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.split_file import (
    parse_split,
    periodic_sectors,
    read_split,
    split_by_sectors,
    write_split,
)


def make_split(
    data: Path,
    out: Path,
    layout: str = "auto",
    classes: tuple[str, ...] = (),
    sectors: float | None = None,
    every: float | None = None,
    start: float = 0.0,
    guard: float = 0.0,
    protocol: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write a split file; returns a table of chips per target and part.

    Args:
        data: folder of chips.
        out: the file.
        layout: of the folder.
        classes: targets to take; none: all.
        sectors, every, start: held-out sectors [start + k every, + sectors), degrees.
        guard: degrees on either side of a held-out sector whose chips belong to no part.
        protocol: instead of sectors, an inline form such as "alternate".
        overwrite: replace another split.

    Raises:
        OptionError: not exactly one way of splitting.
        FileError: another split is there already.
    """
    if (protocol is None) == (sectors is None) or (sectors is None) != (every is None):
        raise OptionError(
            "--sectors, --every, --protocol",
            "not one way of splitting",
            "--sectors with --every, or --protocol",
            "choose one",
        )
    if not 0 <= guard < 180:
        raise OptionError("--guard", f"{guard:g} degrees", "0 <= guard < 180", "choose a few degrees")
    if protocol is not None and (guard or start):
        raise OptionError("--guard and --start", "given with --protocol", "they belong to --sectors", "leave them out")
    samples = read_samples(data, layout, classes=classes)
    if protocol is not None:
        split = parse_split(protocol, samples)
    else:
        assert sectors is not None
        assert every is not None
        split = split_by_sectors(samples, periodic_sectors(sectors, every, start), guard)
    if out.exists() and not overwrite and read_split(out, samples).sha256 != split.sha256:
        raise FileError(out, "holds another split", "a split is made once", "choose another file, or give --overwrite")
    write_split(out, split)
    targets = {sample.id: sample.caption.target for sample in samples}
    lines = [f"{out}: {split.protocol}, sha256 {split.sha256}"]
    for name in sorted(set(targets.values())):
        counts = {part: Counter(targets[i] for i in ids)[name] for part, ids in split.parts.items()}
        left = Counter(targets.values())[name] - sum(counts.values())
        lines.append(
            f"  {name}: {counts['train']} to train, {counts['test']} to test" + (f", {left} in neither" if left else "")
        )
    return "\n".join(lines)
