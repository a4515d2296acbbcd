"""Train a small base model from scratch and write it in diffusers' layout."""

from pathlib import Path

import torch
from torch import nn

from geodiff_sar.core.config import Options, write_toml
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.files import read_json, sha256_bytes, sha256_json, write_json
from geodiff_sar.model.base import quiet_libraries
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.training.compilation import compile_blocks
from geodiff_sar.training.ema import WeightAverage
from geodiff_sar.training.half_precision import has_fast_bfloat16
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.text_stage import CaptionSource, CaptionVocabulary, TextTask, build_text_encoders
from geodiff_sar.training.pretrain.tokenizers import build_clip_tokenizer, build_t5_tokenizer
from geodiff_sar.training.pretrain.transformer_stage import LatentSource, TransformerTask, build_transformer
from geodiff_sar.training.pretrain.vae_stage import CropSource, VaeTask, build_vae, latent_statistics
from geodiff_sar.workflows.pretraining.chips import TrainingChips, load_chips
from geodiff_sar.workflows.pretraining.latents import STATISTICS_CHIPS, encode_chips
from geodiff_sar.workflows.pretraining.papers import write_papers
from geodiff_sar.workflows.pretraining.stage import run_stage
from geodiff_sar.workflows.pretraining.start import begin_with, load_start
from geodiff_sar.workflows.pretraining.written_base import write_base


def pretrain(options: PretrainOptions) -> Path:
    """Train tokenizers, text encoders, VAE and transformer, one after another, or the transformer of an existing base
    further; returns the folder of the new base.

    Run again after an interruption, it goes on where it stopped, stage by stage; the result is the same, bit for bit.
    """
    quiet_libraries()
    folder = Path(options.output_dir)
    work = folder / "work"
    _check_sizes(options)
    _claim(folder, options)
    start = load_start(options)
    chips = load_chips(options, work)
    _claim_data(work, chips.key if start is None else sha256_json([chips.key, start.hash]))
    if start is None:
        text, codec = train_text(options, work, chips), train_vae(options, work, chips)
    else:
        say(f"text encoders and autoencoder are those of {options.start_from}; train_text and train_vae are not used")
        text, codec = start.text.encoders, start.vae
    data = encode_chips(chips, text, codec, work / "cache")
    stage = options.train_transformer
    torch.manual_seed(stage.seed)
    transformer = build_transformer(options)
    if start is not None:
        begin_with(transformer, start)
    if stage.precision == "bf16" and not has_fast_bfloat16():
        warn("train_transformer.precision = bf16: this processor has no AMX; float32 (precision = no) is likely faster")
    if stage.compile:
        compile_blocks(transformer.transformer_blocks, "train_transformer.compile")
    task = TransformerTask(transformer, stage, options.shift)
    average = WeightAverage(task.modules(), stage.ema_decay)
    run_stage(task, LatentSource(data, stage), stage, work / "transformer", "transformer", average)
    with average.applied():
        write_base(options, folder, text, codec, transformer)
    write_papers(options, folder, chips)
    return folder


def train_text(options: PretrainOptions, work: Path, chips: TrainingChips) -> TextEncoders:
    """Tokenizers and text encoders that tell what the captions say."""
    vocabulary = CaptionVocabulary.of(chips.captions)
    stage = options.train_text
    source = CaptionSource(vocabulary, stage.batch_size, stage.seed)
    texts = [text for item in range(40) for text in source.load(item, 0).captions]
    sizes = options.text
    tokenizers = (
        build_clip_tokenizer(texts, sizes.clip_length, sizes.vocabulary, pad_with_first=False),
        build_clip_tokenizer(texts, sizes.clip_length, sizes.vocabulary, pad_with_first=True),
        build_t5_tokenizer(texts, sizes.t5_length, sizes.vocabulary),
    )
    torch.manual_seed(stage.seed)
    text = build_text_encoders(sizes, tokenizers)
    run_stage(TextTask(text, vocabulary, stage.lr), source, stage, work / "text", "text encoders")
    text.model_hash = _state_hash(text)
    return text.eval().requires_grad_(False)


def train_vae(options: PretrainOptions, work: Path, chips: TrainingChips) -> VaeCodec:
    """The autoencoder, with the scale and shift of its latents."""
    stage = options.train_vae
    torch.manual_seed(stage.seed)
    vae = build_vae(options.vae)
    run_stage(VaeTask(vae, stage), CropSource(chips.values, chips.ids, stage), stage, work / "vae", "VAE")
    scale, shift = latent_statistics(vae, chips.values[:STATISTICS_CHIPS])
    vae.register_to_config(scaling_factor=scale, shift_factor=shift)
    return VaeCodec(vae, options.transformer.patch_size, _state_hash(vae))


def _claim(folder: Path, options: Options) -> None:
    """The folder belongs to one configuration; anything else that is in it is left alone."""
    work = folder / "work"
    mark, digest = work / "configuration.json", sha256_json(options.model_dump(mode="json"))
    if mark.is_file():
        if read_json(mark)["sha256"] != digest:
            raise _others(work, "configuration")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionError(
            "output_dir", f"{folder} exists and holds no pre-training run", "a new folder", "choose another output_dir"
        )
    write_json(mark, {"sha256": digest, "data": None})
    write_toml(work / "config.toml", options)


def _claim_data(work: Path, key: str) -> None:
    """The folder belongs to one data set, too."""
    mark = work / "configuration.json"
    claim = read_json(mark)
    if claim["data"] not in (None, key):
        raise _others(work, "data set")
    write_json(mark, {**claim, "data": key})


def _others(work: Path, what: str) -> DataError:
    return DataError(
        work,
        f"holds the checkpoints of another {what}",
        "a pre-training run keeps its configuration and its chips",
        "restore them, or choose another output_dir",
    )


def _check_sizes(options: PretrainOptions) -> None:
    width, height = options.resolution
    grain = 2 ** (len(options.vae.block_out_channels) - 1) * options.transformer.patch_size
    if width % grain or height % grain:
        raise OptionError("resolution", f"{width}, {height}", f"sides are multiples of {grain}", "round them")
    if options.train_vae.crop > min(width, height):
        raise OptionError(
            "train_vae.crop", str(options.train_vae.crop), f"at most {min(width, height)}, the shorter side", "lower it"
        )


def _state_hash(module: nn.Module) -> str:
    return sha256_bytes(*(tensor.contiguous().numpy().tobytes() for _, tensor in sorted(module.state_dict().items())))
