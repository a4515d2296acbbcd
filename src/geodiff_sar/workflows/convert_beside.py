"""What travels with a converted LoRA: the record and the conditioning weights of the adapter that it belongs to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import atomic_write_bytes, read_json, write_json
from geodiff_sar.model.adapter_files import FUSION_SUFFIX, RECORD_SUFFIX

OURS, PUBLISHED_SWITCH = "geodiff_sar", "enable_3d_fusion"


@dataclass(frozen=True)
class Beside:
    """Files beside the LoRA of an adapter.

    Attributes:
        content: of the record; empty where the LoRA has none.
        fusion_weights: the conditioning weights; None where there are none.
    """

    content: dict[str, Any]
    fusion_weights: Path | None

    @property
    def ours(self) -> dict[str, Any] | None:
        """What this package wrote into the record; None for the published trainer's."""
        found = self.content.get(OURS)
        return found if isinstance(found, dict) else None

    @property
    def conditioned(self) -> bool:
        """Whether the record says that more than the text conditions; the published switch of a travelled one is off."""
        return bool(self.content.get(PUBLISHED_SWITCH) or (self.ours or {}).get("conditioning"))


def read_beside(lora: Path) -> Beside:
    """Record and conditioning weights of the adapter whose LoRA is in ``lora``.

    Raises:
        FileError: a record that is no JSON.
    """
    record, fusion = _beside(lora)
    content = read_json(record) if record.is_file() else {}
    return Beside(content if isinstance(content, dict) else {}, fusion if fusion.is_file() else None)


def check_room_beside(source: Path, out: Path, overwrite: bool) -> None:
    """Make sure that no adapter's files stand beside ``out`` which a converted LoRA would be taken for a part of.

    Raises:
        OptionError: there are such files, and they may not be written over or are those of the source.
    """
    there = [file for file in _beside(out) if file.exists()]
    of_source = any(file.exists() and file.samefile(there[0]) for file in _beside(source)) if there else False
    if there and (of_source or not overwrite):
        raise OptionError(
            "OUT",
            f"{there[0]} exists" + (" and belongs to IN" if of_source else ""),
            "an adapter's files have one name, and files are not overwritten",
            "name another file" + ("" if of_source else ", or give --overwrite"),
        )


def carry(beside: Beside, source: Path, out: Path, to: str) -> None:
    """Write an adapter's record and conditioning weights beside its converted LoRA, the record last.

    The record names the LoRA's format. Its published keys, which only the published program reads, say that there is no
    fusion: that program would put an untrained network in its place.

    Args:
        beside: of the source.
        source: LoRA file that was converted.
        out: what it was converted to.
        to: format of that.
    """
    record, fusion = _beside(out)
    for stale in (record, fusion):  # of an adapter that was written over
        stale.unlink(missing_ok=True)
    if beside.ours is None:
        if beside.conditioned or beside.fusion_weights is not None:
            warn(
                "the LoRA alone is converted: the published trainer's fusion weights beside it were never trained, and no"
                " program can load them"
            )
        return
    if source.parent.samefile(out.parent):
        warn(
            f"the LoRA alone is converted: one folder holds one adapter, and {source.parent} holds this one already. Name an"
            " OUT in another folder for its record and conditioning weights to travel with it"
        )
        return
    if beside.fusion_weights is not None:
        atomic_write_bytes(fusion, beside.fusion_weights.read_bytes())
    write_json(record, {**beside.content, PUBLISHED_SWITCH: False, OURS: {**beside.ours, "lora_format": to}})
    if beside.fusion_weights is not None:
        say(
            f"beside it {fusion.name} and {record.name}: with these geometry, reference and pose go on acting in geodiff-sar."
            " Other programs read the LoRA alone, and then nothing but the text conditions"
        )


def _beside(lora: Path) -> tuple[Path, Path]:
    return lora.with_name(lora.stem + RECORD_SUFFIX), lora.with_name(lora.stem + FUSION_SUFFIX)
