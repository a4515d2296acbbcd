"""Features on disk, keyed by the pixels of the chips and the fingerprint of the space, so that no entry can be stale."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from geodiff_sar.core.console import progress_bar, warn
from geodiff_sar.core.errors import Interrupted, NumericalError
from geodiff_sar.core.files import atomic_write_bytes, sha256_bytes
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace

SHARD = 256
"""Chips of one file: what an interruption loses at most."""


def cached_features(
    space: FeatureSpace, chips: ChipSet, folder: Path | None, title: str
) -> Float32[np.ndarray, "chip feature"]:
    """Features of all chips in their order.

    Chips go through the space in shards of SHARD, cached or not, so a number does not depend on the cache. Sets that differ
    in labels only share their entries. Ctrl-C keeps the finished shards.

    Args:
        space: what computes them.
        chips: at least one.
        folder: where shards are kept; None: nowhere.
        title: shown before the progress bar.

    Raises:
        Interrupted: Ctrl-C.
        NumericalError: the space gives NaN or infinite features.
    """
    found = []
    with progress_bar() as bar:
        line = bar.add_task(title, total=len(chips), note="")
        try:
            for start in range(0, len(chips), SHARD):
                stop = min(start + SHARD, len(chips))
                path = None if folder is None else _path(folder, space, chips.hashes[start:stop])
                features = None if path is None else _read(path, stop - start)
                if features is None:
                    features = _compute(space, chips, start, stop)
                    if path is not None:
                        atomic_write_bytes(path, save({"features": features}))
                found.append(features)
                bar.update(line, completed=stop)
        except KeyboardInterrupt:
            kept = "run the same command again to go on" if folder is not None else "nothing of it is kept"
            done = sum(len(shard) for shard in found)
            raise Interrupted(f"{title}: after {done} of {len(chips)} chips; {kept}") from None
    return np.concatenate(found)


def _path(folder: Path, space: FeatureSpace, hashes: tuple[str, ...]) -> Path:
    key = sha256_bytes(space.fingerprint.encode(), *(text.encode() for text in hashes))
    return folder / "features" / key[:2] / f"{key}.safetensors"


def _read(path: Path, count: int) -> Float32[np.ndarray, "chip feature"] | None:
    """A shard, or None where there is none; a damaged one is computed again with a note."""
    if not path.is_file():
        return None
    try:
        features = load_file(path)["features"]
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        return _damaged(path, str(error) or type(error).__name__)
    if features.ndim != 2 or len(features) != count or features.dtype != np.float32:
        return _damaged(path, f"it holds {features.dtype} of shape {features.shape}")
    return features


def _damaged(path: Path, reason: str) -> None:
    warn(f"cache entry {path} is damaged ({reason}); it is computed again")


def _compute(space: FeatureSpace, chips: ChipSet, start: int, stop: int) -> Float32[np.ndarray, "chip feature"]:
    features = np.ascontiguousarray(space.extract(chips.amplitude[start:stop]))
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise NumericalError(
            chips.ids[start + int(bad[0])],
            f"its features in the space {space.name} are NaN or infinite, as those of {len(bad)} chips",
            "features are finite",
            "check the chip and the weights of the space",
        )
    return features
