"""Training an adapter further: the weights of one that exists become the first weights of a new one."""

from typing import Any

from diffusers import SD3Transformer2DModel

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.config import flat_settings
from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.adapter import load_conditioning
from geodiff_sar.model.adapter_files import AdapterFiles
from geodiff_sar.model.lora import LoraOptions, fill_lora
from geodiff_sar.model.tensor_file import read_tensor_file

OF_TRAINING = ("joint_dropout", "geometry_dropout", "image_dropout", "pose_dropout", "dropout", "max_norm")
"""Settings that change how weights are trained, not what they mean: these may differ."""


def begin_with_adapter(
    files: AdapterFiles,
    base_hash: str,
    transformer: SD3Transformer2DModel,
    conditioning: ConditioningStack | None,
    lora: LoraOptions | None,
) -> None:
    """Give untrained LoRA layers and an untrained stack the weights of an adapter, statistics of its point features
    included: its encoders expect them.

    Args:
        files: the adapter to start from.
        base_hash: of the base that is adapted.
        transformer: with its new LoRA layers, if it has any.
        conditioning: the new stack, if there is one.
        lora: options of the new LoRA; None: there is none.

    Raises:
        FileError: a damaged file.
        DataError: an adapter of another base, or weights that do not match their record.
        OptionError: it was made with other settings, or by full fine-tuning.
    """
    record, theirs = load_conditioning(files, base_hash)
    if record.full:
        raise OptionError(
            "start_from",
            f"{files.record} is a full fine-tuning",
            "an adapter of LoRA, conditioning or both",
            "name another one",
        )
    if record.lora_format is not None:
        raise OptionError(
            "start_from",
            f"the LoRA of {files.record} was converted to {record.lora_format}",
            "training goes on from a LoRA as it was trained",
            "name the adapter that was converted",
        )
    wanted = _settings(None if conditioning is None else conditioning.header(), lora)
    found = _settings(record.conditioning if theirs is None else theirs.header(), record.lora)
    differing = [name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)]
    if differing:
        shown = "; ".join(f"{name}: there {found.get(name)}, here {wanted.get(name)}" for name in differing[:6])
        raise OptionError(
            "start_from",
            f"{files.record} was trained with other settings ({shown})",
            "what an adapter is made of stays the same when it is trained further",
            "give the settings of that adapter, from its config.toml",
        )
    if lora is not None and files.weights is not None:
        fill_lora(transformer, read_tensor_file(files.weights).tensors, str(files.weights))
    if conditioning is not None and theirs is not None:
        conditioning.load_state_dict(theirs.state_dict())


def _settings(header: dict[str, Any] | None, lora: LoraOptions | None) -> dict[str, Any]:
    """Every setting that gives the weights their meaning, by dotted name."""
    tables = {"conditioning": header or {}, "lora": {} if lora is None else lora.model_dump(mode="json")}
    return {name: value for name, value in flat_settings(tables).items() if name.rpartition(".")[2] not in OF_TRAINING}
