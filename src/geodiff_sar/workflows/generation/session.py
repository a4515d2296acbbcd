"""Base and adapter in memory, checked against the options."""

from dataclasses import dataclass

import torch

from geodiff_sar.conditioning.injection import default_fusion_scale
from geodiff_sar.core.condition import Needs
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.adapter import LoadedAdapter, load_adapter
from geodiff_sar.model.adapter_files import plain_lora, resolve_adapter
from geodiff_sar.model.base import BaseModel, load_base
from geodiff_sar.model.device import choose_device
from geodiff_sar.model.lora import set_lora_strength
from geodiff_sar.model.plain_lora import load_plain_lora
from geodiff_sar.sampling.pipeline import GeoDiffSARPipeline
from geodiff_sar.workflows.generation.options import GenerateRequest


@dataclass
class Session:
    """Base, adapter and pipeline in memory."""

    base: BaseModel
    adapter: LoadedAdapter | None
    pipeline: GeoDiffSARPipeline
    fusion_scale: float

    @property
    def conditioned(self) -> bool:
        """Whether an adapter is there in which more than the text conditions."""
        return self.adapter is not None and self.adapter.conditioning is not None

    @property
    def needs(self) -> Needs:
        """Which conditions the adapter takes; none without adapter, and none where text alone conditions."""
        stack = self.adapter.conditioning if self.adapter else None
        return Needs(False, False, False, False) if stack is None else stack.needs


def open_session(request: GenerateRequest) -> Session:
    """Load base and adapter, check the options against them."""
    device = choose_device(request.device, "--device")
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(
        request.dtype, torch.float32 if device.type == "cpu" else torch.bfloat16
    )
    base = load_base(request.base, dtype, device)
    if request.max_token_length is not None:
        base.text.t5_length = request.max_token_length
    adapter = None
    if request.lora_weights is not None:
        plain = plain_lora(request.lora_weights)
        if plain is not None:
            adapter = load_plain_lora(plain, base)
        else:
            adapter = load_adapter(resolve_adapter(request.lora_weights), base.transformer, base.hash)
        if adapter.conditioning is not None:
            adapter.conditioning.to(device)
        if adapter.record.lora is not None:
            set_lora_strength(base.transformer, request.network_multiplier)
    has_lora = adapter is not None and adapter.record.lora is not None
    if not has_lora and request.network_multiplier != 1.0:
        raise OptionError(
            "--network_multiplier", str(request.network_multiplier), "needs a LoRA", "give an adapter that has one"
        )
    _check_against_adapter(request, base, adapter)
    scale = default_fusion_scale() if request.fusion_scale is None else request.fusion_scale
    if request.enable_3d_fusion is False:
        scale = 0.0
    shift = request.discrete_flow_shift or (adapter.record.shift if adapter else base.settings.shift)
    remap = adapter.record.remap if adapter else base.settings.remap
    pipeline = GeoDiffSARPipeline.from_base(base, adapter.conditioning if adapter else None, remap, shift)
    pipeline.t5_only = request.use_t5xxl_cache_only
    return Session(base, adapter, pipeline, scale)


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
    if adapter.files.plain:
        say("a plain LoRA: geometry, reference and pose are absent, nothing but the text conditions")
    elif stack is None:
        say("nothing but the text conditions this adapter (inject = [])")
    if adapter.record.t5_length != base.text.t5_length:
        warn(f"the adapter was trained with {adapter.record.t5_length} T5 tokens, this run uses {base.text.t5_length}")
