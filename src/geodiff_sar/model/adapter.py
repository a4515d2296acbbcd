"""What training saves and generation loads: LoRA, conditioning weights and a JSON record, strictly matched.

``<name>.safetensors`` (LoRA) or ``<name>_transformer.safetensors`` (full fine-tuning), ``<name>_fusion_weights.safetensors``
(all conditioning modules; not there where nothing but the text conditions) and ``<name>_fusion.json`` (the published keys,
and ours under "geodiff_sar").
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from diffusers import SD3Transformer2DModel
from pydantic import Field
from torch import Tensor

from geodiff_sar.conditioning.options import Place
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_write_bytes, read_json, write_json
from geodiff_sar.core.tensors import mismatch
from geodiff_sar.data.pixels import ChipPixels
from geodiff_sar.data.prior_facts import PriorFacts
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter_files import (
    FULL_SUFFIX,
    FUSION_SUFFIX,
    RECORD_SUFFIX,
    AdapterFiles,
)
from geodiff_sar.model.lora import LoraOptions, load_lora, lora_state_dict
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.peft_layers import add_changes
from geodiff_sar.model.tensor_file import packed, read_header, read_tensor_file, require_finite


class AdapterRecord(Options):
    """Everything about an adapter that is not a tensor."""

    remedy: ClassVar[str] = "copy the record of the training run again, or use the version of geodiff-sar that wrote it"

    version: Literal[1, 2] = Field(
        default=2, description="version of this record; 1: before there was a choice of inject"
    )
    base: str = Field(description="base model as the user called it")
    base_hash: str = Field(description="content hash of the base model's weights, of the parts that were used")
    base_hash_without_t5: str | None = Field(
        default=None, description="the same without T5; equal to base_hash: trained without T5; None: not recorded"
    )
    shift: float = Field(gt=0, description="timestep shift of training")
    remap: AmplitudeRemap = Field(description="amplitude to model values")
    resolution: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="the size most chips were trained at, width and height in pixels"
    )
    t5_length: int = Field(ge=1, description="number of T5 tokens")
    lora: LoraOptions | None = Field(default=None, description="LoRA options; None: no LoRA")
    lora_format: str | None = Field(
        default=None,
        description="format that `convert-lora` wrote the LoRA in; None: as trained, with rank and alpha of `lora`",
    )
    full: bool = Field(default=False, description="the whole transformer was trained")
    conditioning: dict[str, Any] | None = Field(
        description="header of the conditioning stack; None: text alone conditions"
    )
    inject: list[Place] = Field(default=["pooled"], description="where geometry, reference and pose enter")
    priors: PriorFacts | None = Field(
        default=None,
        description="radars and depressions of the training's priors; None: none were used, or not recorded",
    )
    image_condition: str = Field(default="reference", description="which reference training used")
    steps: int = Field(default=0, ge=0, description="optimizer steps done")
    started_from: str | None = Field(
        default=None,
        description="content hash of the adapter whose weights were the first ones; None: untrained weights",
    )
    pixels: ChipPixels | None = Field(
        default=None, description="remap and grid that all training chips shared; None: unspecified"
    )


@dataclass
class LoadedAdapter:
    """An adapter on its base: the stack in eval mode (None: text alone conditions), the record and the files."""

    conditioning: ConditioningStack | None
    record: AdapterRecord
    files: AdapterFiles

    @property
    def has_lora(self) -> bool:
        """Whether it changes weights by a LoRA, whose strength can be chosen."""
        return self.record.lora is not None

    @property
    def has_dora(self) -> bool:
        """Whether that LoRA is a DoRA."""
        return self.record.lora is not None and self.record.lora.dora


def save_adapter(
    folder: Path,
    name: str,
    transformer: SD3Transformer2DModel,
    conditioning: ConditioningStack | None,
    record: AdapterRecord,
    dtype: torch.dtype | None = None,
) -> AdapterFiles:
    """Write an adapter; each file appears by atomic rename, the record last.

    Args:
        folder: where to.
        name: first part of the file names.
        transformer: with LoRA layers, or fully trained.
        conditioning: the stack, or None.
        record: everything else.
        dtype: number format of the LoRA or transformer weights; None: as trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = None
    if record.full:
        weights = folder / f"{name}{FULL_SUFFIX}"
        atomic_write_bytes(weights, packed(_cast(transformer.state_dict(), dtype), {"format": "pt"}))
    elif record.lora is not None:
        weights = folder / f"{name}.safetensors"
        atomic_write_bytes(weights, packed(_cast(lora_state_dict(transformer), dtype), _lora_header(record.lora)))
    stack_file = None
    if conditioning is not None:
        stack_file = folder / f"{name}{FUSION_SUFFIX}"
        header = {"format": "pt", "geodiff_sar": json.dumps(record.conditioning, sort_keys=True)}
        atomic_write_bytes(stack_file, packed(_cast(conditioning.state_dict(), None), header))
    record_file = folder / f"{name}{RECORD_SUFFIX}"
    write_json(record_file, {**_published_keys(record), "geodiff_sar": record.model_dump(mode="json")})
    return AdapterFiles(weights, stack_file, record_file)


def read_record(files: AdapterFiles) -> AdapterRecord:
    """The record of an adapter."""
    content = read_json(files.record)
    if not isinstance(content, dict) or "geodiff_sar" not in content:
        raise FileError(
            files.record,
            "has no key 'geodiff_sar'",
            "an adapter trained by geodiff-sar (the published code's fusion weights cannot be used: they were never trained)",
            "for the LoRA alone, copy it to a folder of its own; for geometry, train with `geodiff-sar train`",
        )
    return parse_options(AdapterRecord, content["geodiff_sar"], str(files.record))


def load_adapter(
    files: AdapterFiles, transformer: SD3Transformer2DModel, base_hash: str, hash_without_t5: str | None = None
) -> LoadedAdapter:
    """Load an adapter onto its base; every tensor of every file must have its place, and the other way round.

    Raises:
        FileError: a damaged file.
        DataError: another base model, or keys or shapes that do not match.
    """
    adapter = read_adapter(files, base_hash, hash_without_t5)
    put_on(adapter, transformer)
    return adapter


def read_adapter(files: AdapterFiles, base_hash: str, hash_without_t5: str | None = None) -> LoadedAdapter:
    """All of an adapter but what belongs on the transformer: a LoRA is looked through for NaN, a whole transformer by its
    header. Errors as load_conditioning."""
    record, conditioning = load_conditioning(files, base_hash, hash_without_t5)
    if files.weights is not None:
        if record.full:
            read_header(files.weights)
        elif record.lora_format is not None:
            read_lora(files.weights)
        else:
            require_finite(files.weights)
    return LoadedAdapter(conditioning, record, files)


def put_on(adapter: LoadedAdapter, transformer: SD3Transformer2DModel) -> None:
    """Load an adapter's LoRA, or its whole transformer, onto the transformer of its base, which is left in eval mode.

    Raises:
        FileError: a damaged file.
        DataError: keys or shapes that do not match, NaN or Inf in a whole transformer.
    """
    record, weights = adapter.record, adapter.files.weights
    if weights is not None:
        if record.full:
            _load_strictly(transformer, require_finite(weights).tensors, weights)
        elif record.lora_format is not None:
            add_changes(transformer, read_lora(weights)[0])
        elif record.lora is not None:  # looked through when it was read
            load_lora(transformer, read_tensor_file(weights).tensors, record.lora, str(weights))
    transformer.eval()


def load_conditioning(
    files: AdapterFiles, base_hash: str, hash_without_t5: str | None = None
) -> tuple[AdapterRecord, ConditioningStack | None]:
    """The record and the conditioning stack (None where text alone conditions) of an adapter, in eval mode; the part that
    needs no transformer.

    Args:
        files: of the adapter.
        base_hash: of the base, over the parts that are used.
        hash_without_t5: of the base, without T5. Given, an adapter trained with T5 goes with the same base without, and the
            other way round, with a warning.

    Raises:
        FileError: a damaged file, or no weights where the record promises them.
        OptionError: a record with unknown, missing or impossible values.
        DataError: another base model, keys or shapes that do not match, NaN or Inf.
    """
    record = read_record(files)
    if record.base_hash != base_hash and not _differs_in_t5_alone(record, base_hash, hash_without_t5):
        raise DataError(
            files.record,
            f"was trained on the base '{record.base}' with hash {record.base_hash[:12]}, this base has {base_hash[:12]}",
            "an adapter is used on the base model it was trained on",
            f"give that base by --pretrained_model {record.base}, or train the adapter again",
        )
    if (record.full or record.lora is not None) and files.weights is None:
        raise FileError(files.record, "the weights beside it are missing", "the record promises them", "copy them here")
    if record.conditioning is None:
        return record, None
    if files.fusion_weights is None:
        raise FileError(
            files.record.with_name(files.record.name.removesuffix(RECORD_SUFFIX) + FUSION_SUFFIX),
            "no such file",
            "the record promises conditioning weights",
            "copy them beside the record",
        )
    conditioning = ConditioningStack.from_header(record.conditioning, str(files.record))
    _load_strictly(conditioning, require_finite(files.fusion_weights).tensors, files.fusion_weights)
    conditioning.eval().requires_grad_(False)
    return record, conditioning


def _differs_in_t5_alone(record: AdapterRecord, base_hash: str, hash_without_t5: str | None) -> bool:
    """Whether training and this run have one base, but one of them with T5 and the other without; says so."""
    if hash_without_t5 is None or record.base_hash_without_t5 != hash_without_t5:
        return False
    trained, here = record.base_hash != hash_without_t5, base_hash != hash_without_t5
    if trained == here:  # another T5
        return False
    words = ("with", "without") if trained else ("without", "with")
    warn(
        f"the adapter was trained {words[0]} T5, this run is {words[1]} it: captions say less, or something new, to it"
    )
    return True


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
    header = record.conditioning or {}
    fusion = header.get("fusion") or {"method": "none", "options": {}}
    keys = {
        "enable_3d_fusion": bool(header),
        "fusion_method": fusion["method"],
        "gentle_alpha": fusion["options"].get("alpha", 0.02),
        "fusion_seed": 1026,
        "use_t5xxl_cache_only": False,
    }
    if header:
        keys |= {
            "pointcloud_dim": header["sizes"]["feature_dim"],
            "image_feature_dim": header["sizes"]["latent_channels"],
        }
    return keys
