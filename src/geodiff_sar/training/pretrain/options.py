"""Sizes of a small base model and how each of its parts is trained; the defaults are those of ``mini``."""

from typing import ClassVar

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.data.corpus import CorpusOptions
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.training.loop_options import LoopOptions


class TextSizes(Options):
    """Widths of the three text encoders; the context width is clip_l_width + clip_g_width."""

    clip_l_width: int = Field(default=128, ge=8)
    clip_l_layers: int = Field(default=2, ge=2)
    clip_g_width: int = Field(default=128, ge=8)
    clip_g_layers: int = Field(default=3, ge=2)
    heads: int = Field(default=4, ge=1)
    projection: int = Field(
        default=64, ge=4, description="width of each pooled projection; the pooled width is twice this"
    )
    t5_layers: int = Field(default=2, ge=1)
    clip_length: int = Field(default=32, ge=8, description="positions of both CLIPs")
    t5_length: int = Field(default=28, ge=8, description="number of T5 tokens")
    vocabulary: int = Field(default=800, ge=600, description="upper limit of entries of each tokenizer")

    @model_validator(mode="after")
    def _divisible(self) -> "TextSizes":
        for width in (self.clip_l_width, self.clip_g_width, self.clip_l_width + self.clip_g_width):
            if width % self.heads:
                raise ValueError(f"a width of {width} is not a multiple of heads = {self.heads}")
        return self


class VaeSizes(Options):
    """Channels of the autoencoder; its reduction is 2 to the number of levels less one."""

    block_out_channels: list[int] = Field(default=[32, 48, 96, 128], min_length=2)
    layers_per_block: int = Field(default=1, ge=1)
    latent_channels: int = Field(default=16, ge=1)
    norm_groups: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _divisible(self) -> "VaeSizes":
        odd = [channels for channels in self.block_out_channels if channels < 1 or channels % self.norm_groups]
        if odd:
            raise ValueError(f"channels {odd} are not multiples of norm_groups = {self.norm_groups}")
        return self


class TransformerSizes(Options):
    """Size of the MMDiT; hidden width is heads x head_width."""

    layers: int = Field(default=6, ge=1)
    heads: int = Field(default=6, ge=1)
    head_width: int = Field(default=32, ge=4)
    patch_size: int = Field(default=2, ge=1)
    dual_attention_layers: list[int] = Field(default=[0, 1])
    max_grid: int = Field(default=48, ge=4, description="largest picture side in patches")

    @model_validator(mode="after")
    def _blocks_exist(self) -> "TransformerSizes":
        if any(not 0 <= block < self.layers for block in self.dual_attention_layers):
            raise ValueError(f"dual_attention_layers {self.dual_attention_layers} are not blocks 0..{self.layers - 1}")
        return self


class StageOptions(LoopOptions):
    """Length and pace of one stage: on the CPU, in float32 unless it says otherwise, without previews or validation."""

    unused: ClassVar[tuple[str, ...]] = (
        "max_epochs",
        "precision",
        "device",
        "gradient_checkpointing",
        "compile",
        "zero_stage",
    )

    warmup: int = Field(default=100, ge=0, description="steps over which the learning rate rises")
    weight_decay: float = Field(default=0.01, ge=0, description="weight decay of AdamW")

    @model_validator(mode="after")
    def _only_what_is_read(self) -> "StageOptions":
        fixed = [
            name for name in LoopOptions.model_fields if name in self.unused or "preview" in name or "validate" in name
        ]
        changed = [name for name in fixed if getattr(self, name) != LoopOptions.model_fields[name].default]
        if changed:
            raise ValueError(f"pre-training does not use {', '.join(changed)}; leave it out")
        return self


class TextStageOptions(StageOptions):
    """How the text encoders are trained; see pretrain/text_stage.py."""

    max_steps: int | None = Field(default=2500, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    checkpoint_every_steps: int | None = Field(default=500, ge=1)


class VaeStageOptions(StageOptions):
    """How the autoencoder is trained; see pretrain/vae_stage.py."""

    max_steps: int | None = Field(default=5000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    crop: int = Field(default=64, ge=16, description="side of the random crops it is trained on, pixels")
    kl_weight: float = Field(default=1e-6, ge=0, description="weight of the Kullback-Leibler term, summed over latents")
    texture_weight: float = Field(default=0.5, ge=0, description="weight of the local standard deviation term")
    checkpoint_every_steps: int | None = Field(default=250, ge=1)


class TransformerStageOptions(StageOptions):
    """How the transformer is trained. ``precision = "bf16"`` pays on processors with AMX; see training/half_precision.py."""

    unused: ClassVar[tuple[str, ...]] = ("max_epochs", "device", "gradient_checkpointing", "zero_stage")

    max_steps: int | None = Field(default=4000, ge=1)
    batch_size: int = Field(default=32, ge=1)
    lr: float = Field(default=6e-4, gt=0)
    caption_dropout: float = Field(default=0.1, ge=0, lt=1)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    checkpoint_every_steps: int | None = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _on_the_cpu(self) -> "TransformerStageOptions":
        if self.precision == "fp16":
            raise ValueError("precision fp16 trains on a GPU only; pre-training runs on the CPU, in no or bf16")
        return self


class PretrainOptions(Options):
    """Everything ``geodiff-sar pretrain`` reads."""

    output_dir: str = Field(
        default="output/mini", description="folder of the new base; its work/ folder holds checkpoints and caches"
    )
    start_from: str | None = Field(
        default=None,
        description="a base, mini or a folder, whose transformer is trained further; its text encoders and autoencoder stay",
    )
    data_root: str | None = Field(default=None, description="folder of chips with captions; None: the corpus")
    layout: str = Field(default="auto", description="layout of data_root; see `geodiff-sar list layouts`")
    corpus: CorpusOptions = CorpusOptions()
    corpus_folder: str | None = Field(
        default=None, description="where the corpus is kept; None: in the work folder. Several runs can share one"
    )
    resolution: tuple[int, int] = Field(
        default=(128, 128), description="width and height of the native picture, pixels"
    )
    shift: float = Field(default=1.0, gt=0, description="timestep shift of training and sampling")
    guidance_scale: float = Field(default=2.0, ge=0, description="default guidance scale of the base")
    keep_level: bool = Field(default=True, description="whether guidance of the base leaves the clutter's level alone")
    adapter_embed_dim: int = Field(
        default=128, ge=8, description="default width of the modality embeddings of adapters"
    )
    remap: AmplitudeRemap = AmplitudeRemap()
    store: str = Field(
        default="float16", pattern="^(float16|float32)$", description="number format of the written weights"
    )
    held_out: int = Field(
        default=200, ge=0, multiple_of=2, description="simulated chips on which the finished autoencoder is measured"
    )
    text: TextSizes = TextSizes()
    vae: VaeSizes = VaeSizes()
    transformer: TransformerSizes = TransformerSizes()
    train_text: TextStageOptions = TextStageOptions()
    train_vae: VaeStageOptions = VaeStageOptions()
    train_transformer: TransformerStageOptions = TransformerStageOptions()

    @model_validator(mode="after")
    def _layout_of_something(self) -> "PretrainOptions":
        if self.data_root is None and self.layout != "auto":
            raise ValueError("layout is that of data_root, which is not set")
        return self
