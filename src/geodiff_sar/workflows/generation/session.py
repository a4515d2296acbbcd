"""Base and adapter in memory, checked against the options."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch

from geodiff_sar.conditioning.injection import default_fusion_scale
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Needs
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import LoadedAdapter, put_on, read_adapter
from geodiff_sar.model.adapter_files import plain_lora, resolve_adapter
from geodiff_sar.model.base import BaseModel, load_base
from geodiff_sar.model.device import choose_device
from geodiff_sar.model.lora import require_storage_for_dora, set_lora_strength
from geodiff_sar.model.lora_formats.describe import ranks_in_words
from geodiff_sar.model.peft_layers import add_changes
from geodiff_sar.model.plain_lora import PlainLora, read_plain_lora
from geodiff_sar.model.text_lora import change_text
from geodiff_sar.sampling.branches import ChipRequest
from geodiff_sar.sampling.pipeline import GeoDiffSARPipeline
from geodiff_sar.workflows.generation.options import GenerateRequest


@dataclass
class Session:
    """Base and adapter, checked against the options. The transformer is loaded when ``pipeline`` is first asked for, which is
    after the captions have been encoded.

    Attributes:
        base: the base model.
        adapter: all of an adapter but what is on the transformer.
        request: the options.
        fusion_scale: strength of all injections.
        shift: timestep shift.
        remap: amplitude to model values.
    """

    base: BaseModel
    adapter: LoadedAdapter | None
    request: GenerateRequest
    fusion_scale: float
    shift: float
    remap: AmplitudeRemap

    @property
    def conditioning(self) -> ConditioningStack | None:
        """The adapter's stack; None where nothing but the text conditions."""
        return self.adapter.conditioning if self.adapter else None

    @property
    def conditioned(self) -> bool:
        """Whether an adapter is there in which more than the text conditions."""
        return self.conditioning is not None

    @property
    def needs(self) -> Needs:
        """Which conditions the adapter takes; none without adapter, and none where text alone conditions."""
        return Needs(False, False, False, False) if self.conditioning is None else self.conditioning.needs

    def encode(self, chips: Iterable[ChipRequest]) -> None:
        """Encode all captions, then free the text encoders: these and the transformer are never in memory together."""
        self.base.text.remember(text for chip in chips for text in (chip.prompt, chip.negative_prompt))
        self.base.text.release()

    @cached_property
    def pipeline(self) -> GeoDiffSARPipeline:
        """The pipeline, with the adapter on its transformer."""
        transformer = self.base.transformer
        if isinstance(self.adapter, PlainLora):
            add_changes(transformer, self.adapter.lora, self.request.network_multiplier)
        elif self.adapter is not None:
            put_on(self.adapter, transformer)
            if self.adapter.has_lora:
                set_lora_strength(transformer, self.request.network_multiplier)
        pipeline = GeoDiffSARPipeline.from_base(self.base, self.conditioning, self.remap, self.shift)
        pipeline.t5_only = self.request.use_t5xxl_cache_only
        return pipeline


def open_session(request: GenerateRequest) -> Session:
    """Open base and adapter, check the options against them."""
    device = choose_device(request.device, "--device")
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(
        request.dtype, torch.float32 if device.type == "cpu" else torch.bfloat16
    )
    base = load_base(request.base, dtype, device, request.memory)
    if request.max_token_length is not None:
        base.text.t5_length = request.max_token_length
    adapter = None
    if request.lora_weights is not None:
        plain = plain_lora(request.lora_weights)
        if plain is not None:
            adapter = read_plain_lora(plain, base, request.mend_split_qkv)
            changed = change_text(base, adapter.lora, plain.sha256, request.network_multiplier)
            if changed:
                say(f"the LoRA changes text encoders too: {', '.join(changed)}")
        else:
            adapter = read_adapter(resolve_adapter(request.lora_weights), base.hash, base.hash_without_t5)
        if adapter.has_dora:
            require_storage_for_dora(base.memory.transformer)
        if adapter.conditioning is not None:
            adapter.conditioning.to(device)
    if request.mend_split_qkv and not isinstance(adapter, PlainLora):
        raise OptionError(
            "--mend-split-qkv",
            str(request.lora_weights or "no LoRA"),
            "it is for LoRA files of the published trainer",
            "leave the option out",
        )
    if not (adapter is not None and adapter.has_lora) and request.network_multiplier != 1.0:
        raise OptionError(
            "--network_multiplier", str(request.network_multiplier), "needs a LoRA", "give an adapter that has one"
        )
    _check_against_adapter(request, base, adapter)
    scale = default_fusion_scale() if request.fusion_scale is None else request.fusion_scale
    if request.enable_3d_fusion is False:
        scale = 0.0
    shift = request.discrete_flow_shift or (adapter.record.shift if adapter else base.settings.shift)
    remap = adapter.record.remap if adapter else base.settings.remap
    return Session(base, adapter, request, scale, shift, remap)


def _check_against_adapter(request: GenerateRequest, base: BaseModel, adapter: LoadedAdapter | None) -> None:
    stack = adapter.conditioning if adapter is not None else None
    fusion = stack.fusion_options if stack is not None else None
    given = {
        "--fusion_method": (request.fusion_method, fusion.method if fusion else "none"),
        "--pointcloud_dim": (request.pointcloud_dim, stack.sizes.feature_dim if stack else None),
        "--image_feature_dim": (request.image_feature_dim, stack.sizes.latent_channels if stack else None),
    }
    needs = {
        **{name: value for name, (value, _) in given.items()},
        "--fusion_scale": request.fusion_scale,
        "--geometry_scale": request.geometry_scale,
        "--enable_3d_fusion": request.enable_3d_fusion or None,
        "--strict_prior": request.strict_prior or None,
    }
    files = {
        "--pointcloud_path": request.pointcloud_path,
        "--pointcloud_dir": request.pointcloud_dir,
        "--reference": request.reference,
        "--reference_range": request.reference_range,
    }
    if stack is None:
        for name, value in {**needs, **({} if adapter else files)}.items():
            if value is not None:
                raise OptionError(
                    name,
                    str(value),
                    "this needs an adapter that geometry, reference or pose condition",
                    "leave the option out: text alone conditions this adapter" if adapter else "give --lora_weights",
                )
    if adapter is None:
        return
    for name, (value, trained) in given.items():
        if value is not None and value != trained:
            raise OptionError(name, str(value), f"the adapter was trained with {trained}", "leave the option out")
    if isinstance(adapter, PlainLora):
        say(
            f"a plain LoRA ({adapter.form}; {ranks_in_words(adapter.lora)}): geometry, reference and pose are absent, nothing"
            " but the text conditions"
        )
    elif stack is None:
        say("nothing but the text conditions this adapter (inject = [])")
    if adapter.record.t5_length != base.text.t5_length:
        warn(f"the adapter was trained with {adapter.record.t5_length} T5 tokens, this run uses {base.text.t5_length}")
