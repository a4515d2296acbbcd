"""Convert a LoRA between the formats of diffusers, kohya's sd-scripts, ComfyUI and the published trainer."""

from collections import Counter
from pathlib import Path

from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import require_writable
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.files import read_lora, write_lora
from geodiff_sar.model.lora_formats.header import GUESSED_VERSION, version_of
from geodiff_sar.model.lora_formats.kohya import MARK
from geodiff_sar.model.lora_formats.reference import FUSION_KEYS
from geodiff_sar.model.lora_formats.truncate import in_float32, truncated
from geodiff_sar.workflows.convert_beside import Beside, carry, check_room_beside, read_beside


class ConvertRequest(Options):
    """What to convert."""

    source: Path = Field(description="LoRA file, or the folder of an adapter")
    out: Path = Field(description="file to write")
    to: str = Field(description="format to write")
    rank: int | None = Field(
        default=None, ge=1, description="highest rank of a written module; None: whatever is exact"
    )
    mend_split_qkv: bool = Field(default=False, description="undo the split-qkv defect of the source")
    overwrite: bool = Field(default=False, description="replace an existing file")


def convert_lora(request: ConvertRequest) -> str:
    """Convert; returns one line about the file written. Nothing is left under its name if anything is wrong.

    Raises:
        OptionError: an unknown format, or an output that exists or is the input.
        FileError: a damaged file or a pickle.
        DataError: another model's LoRA, ill-shaped pairs, something the format has no place for, or a copy that differs.
    """
    to = LORA_FORMATS.get(request.to)()
    source = _source_file(request.source)
    _check_out(request, source)
    lora, found = read_lora(source, request.mend_split_qkv)
    _say_about_defect(lora, request.mend_split_qkv)
    beside = read_beside(source)
    _add_texts(lora, beside, request.to)
    _say_about_version(lora)
    written, lossy = to.arrange(lora), False
    _say_about_rank(lora, written, request.rank)
    if request.rank is not None:
        written = [truncated(module, request.rank, lora.source) for module in written]
        _say_about_error(written)
        lossy = any(module.error for module in written)
        if lossy:
            written = [in_float32(module) for module in written]
    if request.to == "diffusers" and any(name.startswith("text_encoder_3.") for name in lora.modules):
        warn("diffusers' own pipeline loads no LoRA of the T5 encoder (text_encoder_3); load that part with PEFT")
    worst = write_lora(request.out, to, lora, written)
    carry(beside, source, request.out, request.to)
    ranks = Counter(module.factors.rank for module in written)
    listed = ", ".join(f"{count} of rank {rank}" for rank, count in sorted(ranks.items()))
    return (
        f"{request.out}: {request.to}, {len(written)} modules ({listed}), converted from {found} and read back:"
        f" largest difference of a weight's change {worst:.1e}" + (", truncation apart" if lossy else "")
    )


def _source_file(path: Path) -> Path:
    """The LoRA file: ``path`` itself, or the one of the adapter in that folder."""
    if not path.is_dir():
        return path
    weights = resolve_adapter(str(path), "IN").weights
    if weights is None:
        raise FileError(path, "holds an adapter without LoRA", "a LoRA", "name a LoRA file")
    return weights


def _check_out(request: ConvertRequest, source: Path) -> None:
    out = request.out
    if out.suffix != ".safetensors":
        raise OptionError("OUT", str(out), "a file that ends with .safetensors", "add the ending")
    if out.is_dir():
        raise OptionError("OUT", f"{out} is a folder", "a file", "name a file in it")
    if out.exists() and source.exists() and out.samefile(source):
        raise OptionError("OUT", f"{out} is IN itself", "the source stays as it is", "name another file")
    if out.exists() and not request.overwrite:
        raise OptionError("OUT", f"{out} exists", "files are not overwritten", "name another file, or give --overwrite")
    check_room_beside(source, out, request.overwrite)
    require_writable(out.parent)


def _say_about_defect(lora: Lora, mend: bool) -> None:
    count = len(lora.thirds)
    if count and mend:
        say(
            f"split-qkv defect mended: q, k and v of {count} attentions have three times the effect that the file gave them"
        )
    elif count:
        warn(
            f"{lora.source} shows the split-qkv defect of its trainer: q, k and v of {count} attentions act with a third of"
            " the strength they were trained with. They are converted as every program reads them;"
            " give --mend-split-qkv for the strength that was meant"
        )


def _say_about_version(lora: Lora) -> None:
    if version_of(lora) is None:
        say(
            f"{lora.source} does not say which model it is for, and SD3-Medium and SD3.5-Medium have all of its modules:"
            f" taken as ss_base_model_version {GUESSED_VERSION}"
        )


def _say_about_rank(lora: Lora, written: list[Written], limit: int | None) -> None:
    """Say where q, k and v have different down factors, so that one matrix for the three needs a higher rank."""
    grown = [
        (module.factors.rank, max(lora.modules[part].rank for part in module.parts if part in lora.modules))
        for module in written
    ]
    grown = [(rank, single) for rank, single in grown if rank > single]
    if grown and limit is None:
        rank, single = max(grown)
        warn(
            f"q, k and v of {len(grown)} attentions have different down factors; fused without loss they need rank {rank}"
            f" where each has {single}. --rank {single} keeps that rank at a loss, which it prints"
        )


def _say_about_error(written: list[Written]) -> None:
    lossy = sorted((module for module in written if module.error), key=lambda module: -module.error)
    if not lossy:
        say("no module has a higher rank: nothing was lost")
        return
    shown = ", ".join(f"{module.name} {module.error:.4g}" for module in lossy[:3])
    say(f"truncated by singular values: {len(lossy)} modules; largest relative Frobenius errors: {shown}")


def _add_texts(lora: Lora, beside: Beside, to: str) -> None:
    """What the record beside an adapter's LoRA says for the header: the resolution, and the published texts."""
    lora.metadata = dict(lora.metadata)
    match beside.ours:
        case {"resolution": [int(width), int(height)]}:
            lora.metadata.setdefault("modelspec.resolution", f"{width}x{height}")
    if to == "reference":
        for key in FUSION_KEYS:
            value = beside.conditioned if key == MARK else beside.content.get(key.removeprefix("ss_"))
            if beside.content and value is not None:
                lora.metadata.setdefault(key, str(value))
