"""Which files an adapter consists of, and how they are found."""

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import sha256_bytes, sha256_file

FUSION_SUFFIX, RECORD_SUFFIX, FULL_SUFFIX = "_fusion_weights.safetensors", "_fusion.json", "_transformer.safetensors"


@dataclass(frozen=True)
class AdapterFiles:
    """Files of one adapter; ``weights`` is the LoRA or the full transformer, ``fusion_weights`` the conditioning stack, each
    None where it was not trained. A LoRA file without a record is its own ``record``."""

    weights: Path | None
    fusion_weights: Path | None
    record: Path

    @property
    def sha256(self) -> str:
        """Content hash over all files."""
        files = [file for file in (self.weights, self.fusion_weights, self.record) if file is not None]
        return sha256_bytes(*(sha256_file(file).encode() for file in files))


def resolve_adapter(path: str, option: str = "--lora_weights") -> AdapterFiles:
    """Find an adapter by its folder, one of its files, or a glob that matches one adapter; ``option`` is what named it.

    Raises:
        FileError: nothing, or more than one adapter, is found; or a part is missing.
    """
    matches = [Path(path)] if Path(path).exists() else [Path(found) for found in sorted(glob.glob(path))]
    if not matches:  # the published code writes into the output folder itself, we into a folder of the run's name
        named = Path(path)
        run = named.parent / re.split(r"_?\*|\.safetensors$", named.name)[0]
        matches = [run] if run != named.parent and run.is_dir() else []
    if not matches:
        raise FileError(path, "no such file or folder", f"{option} names an adapter", "check the path")
    stems = sorted({stem for match in matches for stem in _stems(match)})
    if len(stems) != 1:
        names = [str(stem) for stem in stems][:6] or [str(match) for match in matches][:6]
        raise FileError(
            path,
            f"matches {len(stems)} adapters: {names}",
            "exactly one adapter, each of <name>.safetensors, <name>_fusion_weights.safetensors and <name>_fusion.json",
            "name the file of the one you mean",
        )
    stem = stems[0]
    record, fusion = stem.with_name(stem.name + RECORD_SUFFIX), stem.with_name(stem.name + FUSION_SUFFIX)
    lora, full = stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + FULL_SUFFIX)
    if not record.is_file():
        raise FileError(
            record, "no such file", "an adapter has all of its files in one folder", "copy it beside the LoRA"
        )
    weights = lora if lora.is_file() else full if full.is_file() else None
    return AdapterFiles(weights, fusion if fusion.is_file() else None, record)


def plain_lora(path: str) -> AdapterFiles | None:
    """The LoRA file at ``path`` if nothing of an adapter is beside it; None otherwise."""
    file = Path(path)
    if not file.is_file() or any(file.name.endswith(suffix) for suffix in (FUSION_SUFFIX, RECORD_SUFFIX, FULL_SUFFIX)):
        return None
    beside = (file.with_name(file.stem + suffix) for suffix in (FUSION_SUFFIX, RECORD_SUFFIX))
    return None if any(other.exists() for other in beside) else AdapterFiles(file, None, file)


def _stems(path: Path) -> list[Path]:
    """Adapters (paths without endings) that a folder or a file stands for."""
    if path.is_dir():
        return [record.with_name(record.name.removesuffix(RECORD_SUFFIX)) for record in path.glob(f"*{RECORD_SUFFIX}")]
    for suffix in (FUSION_SUFFIX, FULL_SUFFIX, RECORD_SUFFIX, ".safetensors"):
        if path.name.endswith(suffix):
            return [path.with_name(path.name.removesuffix(suffix))]
    return []
