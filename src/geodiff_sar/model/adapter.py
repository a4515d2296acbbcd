"""What training saves and generation loads: LoRA, conditioning weights and a JSON record, strictly matched.

``<name>.safetensors`` (LoRA) or ``<name>_transformer.safetensors`` (full fine-tuning), ``<name>_fusion_weights.safetensors``
(all conditioning modules) and ``<name>_fusion.json`` (the published keys, and ours under "geodiff_sar").
"""

import glob
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from diffusers import SD3Transformer2DModel
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_write_bytes, read_json, sha256_bytes, sha256_file, write_json
from geodiff_sar.core.tensors import mismatch
from geodiff_sar.data.pixels import ChipPixels
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.lora import LoraOptions, load_lora, lora_state_dict

FUSION_SUFFIX, RECORD_SUFFIX, FULL_SUFFIX = "_fusion_weights.safetensors", "_fusion.json", "_transformer.safetensors"


class AdapterRecord(Options):
    """Everything about an adapter that is not a tensor."""

    remedy: ClassVar[str] = "copy the record of the training run again, or use the version of geodiff-sar that wrote it"

    version: Literal[1] = Field(default=1, description="version of this record")
    base: str = Field(description="base model as the user called it")
    base_hash: str = Field(description="content hash of the base model's weights")
    shift: float = Field(gt=0, description="timestep shift of training")
    remap: AmplitudeRemap = Field(description="amplitude to model values")
    resolution: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="the size most chips were trained at, width and height in pixels"
    )
    t5_length: int = Field(ge=1, description="number of T5 tokens")
    lora: LoraOptions | None = Field(default=None, description="LoRA options; None: no LoRA")
    full: bool = Field(default=False, description="the whole transformer was trained")
    conditioning: dict[str, Any] = Field(description="header of the conditioning stack")
    inject: list[str] = Field(default=["pooled"], description="where geometry enters")
    image_condition: str = Field(default="reference", description="which reference training used")
    steps: int = Field(default=0, ge=0, description="optimizer steps done")
    pixels: ChipPixels | None = Field(
        default=None, description="remap and grid that all training chips shared; None: unspecified"
    )


@dataclass(frozen=True)
class AdapterFiles:
    """Files of one adapter; ``weights`` is the LoRA or the full transformer, None where neither was trained."""

    weights: Path | None
    fusion_weights: Path
    record: Path

    @property
    def sha256(self) -> str:
        """Content hash over all files."""
        files = [file for file in (self.weights, self.fusion_weights, self.record) if file is not None]
        return sha256_bytes(*(sha256_file(file).encode() for file in files))


@dataclass
class LoadedAdapter:
    """An adapter on its base: the stack in eval mode, the record and the files."""

    conditioning: ConditioningStack
    record: AdapterRecord
    files: AdapterFiles


def save_adapter(
    folder: Path,
    name: str,
    transformer: SD3Transformer2DModel,
    conditioning: ConditioningStack,
    record: AdapterRecord,
    dtype: torch.dtype | None = None,
) -> AdapterFiles:
    """Write an adapter; each file appears by atomic rename, the record last.

    Args:
        folder: where to.
        name: first part of the file names.
        transformer: with LoRA layers, or fully trained.
        conditioning: the stack.
        record: everything else.
        dtype: number format of the LoRA or transformer weights; None: as trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = None
    if record.full:
        weights = folder / f"{name}{FULL_SUFFIX}"
        atomic_write_bytes(weights, _packed(_cast(transformer.state_dict(), dtype), {"format": "pt"}))
    elif record.lora is not None:
        weights = folder / f"{name}.safetensors"
        atomic_write_bytes(weights, _packed(_cast(lora_state_dict(transformer), dtype), _lora_header(record.lora)))
    stack_file = folder / f"{name}{FUSION_SUFFIX}"
    header = {"format": "pt", "geodiff_sar": json.dumps(record.conditioning, sort_keys=True)}
    atomic_write_bytes(stack_file, _packed(_cast(conditioning.state_dict(), None), header))
    record_file = folder / f"{name}{RECORD_SUFFIX}"
    write_json(record_file, {**_published_keys(record), "geodiff_sar": record.model_dump(mode="json")})
    return AdapterFiles(weights, stack_file, record_file)


def resolve_adapter(path: str) -> AdapterFiles:
    """Find an adapter by its folder, one of its files, or a glob that matches one adapter.

    Raises:
        FileError: nothing, or more than one adapter, is found; or a part is missing.
    """
    matches = [Path(path)] if Path(path).exists() else [Path(found) for found in sorted(glob.glob(path))]
    if not matches:  # the published code writes into the output folder itself, we into a folder of the run's name
        named = Path(path)
        run = named.parent / re.split(r"_?\*|\.safetensors$", named.name)[0]
        matches = [run] if run != named.parent and run.is_dir() else []
    if not matches:
        raise FileError(path, "no such file or folder", "--lora_weights names an adapter", "check the path")
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
    for part in (record, fusion):
        if not part.is_file():
            raise FileError(
                part, "no such file", "an adapter has all of its files in one folder", "copy it beside the LoRA"
            )
    return AdapterFiles(lora if lora.is_file() else full if full.is_file() else None, fusion, record)


def read_record(files: AdapterFiles) -> AdapterRecord:
    """The record of an adapter."""
    content = read_json(files.record)
    if not isinstance(content, dict) or "geodiff_sar" not in content:
        raise FileError(
            files.record,
            "has no key 'geodiff_sar'",
            "an adapter trained by geodiff-sar (the published code's fusion weights cannot be used: they were never trained)",
            "train the adapter with `geodiff-sar train`",
        )
    return parse_options(AdapterRecord, content["geodiff_sar"], str(files.record))


def load_adapter(files: AdapterFiles, transformer: SD3Transformer2DModel, base_hash: str) -> LoadedAdapter:
    """Load an adapter onto its base; every tensor of every file must have its place, and the other way round.

    Raises:
        FileError: a damaged file.
        DataError: another base model, or keys or shapes that do not match.
    """
    record, conditioning = load_conditioning(files, base_hash)
    if files.weights is not None:
        state = _read(files.weights)
        if record.full:
            _load_strictly(transformer, state, files.weights)
        elif record.lora is not None:
            load_lora(transformer, state, record.lora, str(files.weights))
    transformer.eval()
    return LoadedAdapter(conditioning, record, files)


def load_conditioning(files: AdapterFiles, base_hash: str) -> tuple[AdapterRecord, ConditioningStack]:
    """The record and the conditioning stack of an adapter, in eval mode; the part that needs no transformer.

    Raises:
        FileError: a damaged file, or no weights where the record promises them.
        OptionError: a record with unknown, missing or impossible values.
        DataError: another base model, or keys or shapes that do not match.
    """
    record = read_record(files)
    if record.base_hash != base_hash:
        raise DataError(
            files.record,
            f"was trained on the base '{record.base}' with hash {record.base_hash[:12]}, this base has {base_hash[:12]}",
            "an adapter is used on the base model it was trained on",
            f"give that base by --pretrained_model {record.base}, or train the adapter again",
        )
    if (record.full or record.lora is not None) and files.weights is None:
        raise FileError(files.record, "the weights beside it are missing", "the record promises them", "copy them here")
    conditioning = ConditioningStack.from_header(record.conditioning, str(files.record))
    _load_strictly(conditioning, _read(files.fusion_weights), files.fusion_weights)
    conditioning.eval().requires_grad_(False)
    return record, conditioning


def _load_strictly(module: torch.nn.Module, state: dict[str, Tensor], source: Path) -> None:
    problems = mismatch(module.state_dict(), state)
    if problems:
        raise DataError(
            source,
            problems,
            "weights match their record exactly",
            "copy weights and record of one training run together",
        )
    module.load_state_dict(state)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            path, f"cannot be read ({error})", "an intact safetensors file", "copy the file again"
        ) from error


def _stems(path: Path) -> list[Path]:
    """Adapters (paths without endings) that a folder or a file stands for."""
    if path.is_dir():
        return [record.with_name(record.name.removesuffix(RECORD_SUFFIX)) for record in path.glob(f"*{RECORD_SUFFIX}")]
    for suffix in (FUSION_SUFFIX, FULL_SUFFIX, RECORD_SUFFIX, ".safetensors"):
        if path.name.endswith(suffix):
            return [path.with_name(path.name.removesuffix(suffix))]
    return []


def _packed(state: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """A safetensors file, the same bytes for the same content: the library writes the keys of the header in random order."""
    content = save(state, header)
    size = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + size])
    table["__metadata__"] = dict(sorted(table["__metadata__"].items()))
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _cast(state: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    return {
        key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in state.items()
    }


def _lora_header(lora: LoraOptions) -> dict[str, str]:
    """Header in the form that diffusers reads alpha and rank from."""
    config = {"r": lora.rank, "lora_alpha": lora.alpha, "use_rslora": lora.rslora, "use_dora": lora.dora}
    prefixed = {f"transformer.{key}": value for key, value in config.items()}
    prefixed["transformer.target_modules"] = lora.target_modules
    return {"format": "pt", "lora_adapter_metadata": json.dumps(prefixed, sort_keys=True)}


def _published_keys(record: AdapterRecord) -> dict[str, Any]:
    """The keys that the published code writes into its ``_fusion.json``."""
    fusion, sizes = record.conditioning["fusion"], record.conditioning["sizes"]
    return {
        "enable_3d_fusion": True,
        "fusion_method": fusion["method"],
        "pointcloud_dim": sizes["feature_dim"],
        "image_feature_dim": sizes["latent_channels"],
        "gentle_alpha": fusion["options"].get("alpha", 0.02),
        "fusion_seed": 1026,
        "use_t5xxl_cache_only": False,
    }
