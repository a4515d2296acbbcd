"""Which tensors of a file belong to which part of a base model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geodiff_sar.model.tensor_file import TensorEntry

PREFIXES = {
    "transformer": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "text_encoders.clip_l.transformer.",
    "text_encoder_2": "text_encoders.clip_g.transformer.",
    "text_encoder_3": "text_encoders.t5xxl.transformer.",
}
"""Beginnings of tensor names in a published single file, by part in diffusers' name."""

OPTIONS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl", "vae": "vae"}
"""Options that name the separate file of a part."""

TITLES = {
    "transformer": "the transformer",
    "vae": "the VAE",
    "text_encoder": "CLIP-L",
    "text_encoder_2": "CLIP-G",
    "text_encoder_3": "T5-XXL",
}

MARKS = {
    "transformer": "joint_blocks.",
    "vae": "decoder.conv_in.",
    "text_encoder": "text_model.",
    "text_encoder_2": "text_model.",
    "text_encoder_3": "encoder.block.",
}
"""What a part's own names contain, by which it is recognised where they have no prefix."""

NO_WEIGHTS = ("logit_scale", "position_ids", "scaled_fp8")
"""Last words of tensors that some programs add and that no part needs."""


@dataclass(frozen=True)
class PartFile:
    """One part inside a file.

    Attributes:
        part: diffusers' name of the part.
        path: the file.
        prefix: what its names begin with in the file.
        entries: format and shape of its tensors, by name without prefix; tensors that are no weights are left out.
    """

    part: str
    path: Path
    prefix: str
    entries: Mapping[str, TensorEntry]


def parts_inside(path: Path, header: Mapping[str, TensorEntry]) -> dict[str, PartFile]:
    """The parts in a single file; without any prefix it may be a transformer alone."""
    found = {part: _part(part, path, prefix, header) for part, prefix in PREFIXES.items()}
    if any(name.startswith(MARKS["transformer"]) for name in header):
        found["transformer"] = _part("transformer", path, "", _without_prefixes(header))
    elif not any(name.startswith(MARKS["transformer"]) for name in found["transformer"].entries):
        del found["transformer"]  # that of another model
    return {part: file for part, file in found.items() if file.entries}


def separate_part(part: str, path: Path, header: Mapping[str, TensorEntry]) -> PartFile | None:
    """One part in a file of its own, with or without its prefix; None if it is not there."""
    inside = _part(part, path, PREFIXES[part], header)
    if inside.entries:
        return inside
    bare = _part(part, path, "", header)
    return bare if any(name.startswith(MARKS[part]) for name in bare.entries) else None


def leftover_names(header: Mapping[str, TensorEntry], inside: Mapping[str, PartFile]) -> list[str]:
    """Names of a file that belong to none of its parts."""
    taken = {f"{file.prefix}{name}" for file in inside.values() for name in file.entries}
    return sorted(name for name in header if name not in taken and name.rpartition(".")[2] not in NO_WEIGHTS)


def _part(part: str, path: Path, prefix: str, header: Mapping[str, TensorEntry]) -> PartFile:
    names = [name for name in header if name.startswith(prefix) and name.rpartition(".")[2] not in NO_WEIGHTS]
    return PartFile(part, path, prefix, {name.removeprefix(prefix): header[name] for name in names})


def _without_prefixes(header: Mapping[str, TensorEntry]) -> dict[str, TensorEntry]:
    return {name: entry for name, entry in header.items() if not name.startswith(tuple(PREFIXES.values()))}
