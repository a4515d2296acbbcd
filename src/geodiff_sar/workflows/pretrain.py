"""Train a small base model from scratch and write it in diffusers' layout."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from geodiff_sar.core.config import Options, write_toml
from geodiff_sar.core.console import progress_bar, say
from geodiff_sar.core.errors import DataError, Interrupted, OptionError
from geodiff_sar.core.files import atomic_directory, atomic_path, read_json, sha256_bytes, sha256_json, write_json
from geodiff_sar.data.buckets import fit_to_bucket
from geodiff_sar.data.cache import TensorCache
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.simulated import random_chips
from geodiff_sar.geometry.prior import ENGINE_VERSION
from geodiff_sar.model.base import MODEL_INDEX, SETTINGS_FILE, BaseSettings, quiet_libraries
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.training.ema import WeightAverage
from geodiff_sar.training.loop import Hooks, latest_checkpoint, run_loop
from geodiff_sar.training.loop_options import LoopOptions
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.text_stage import CaptionSource, CaptionVocabulary, TextTask, build_text_encoders
from geodiff_sar.training.pretrain.tokenizers import build_clip_tokenizer, build_t5_tokenizer, save_tokenizers
from geodiff_sar.training.pretrain.transformer_stage import (
    LatentSet,
    LatentSource,
    TransformerTask,
    build_transformer,
)
from geodiff_sar.training.pretrain.vae_stage import CropSource, VaeTask, build_vae, latent_statistics
from geodiff_sar.training.task import BatchSource, Task


def pretrain(options: PretrainOptions) -> Path:
    """Train tokenizers, text encoders, VAE and transformer, one after another; returns the folder of the new base.

    Run again after an interruption, it goes on where it stopped, stage by stage; the result is the same, bit for bit.
    """
    quiet_libraries()
    folder = Path(options.output_dir)
    work = folder / "work"
    _check_sizes(options)
    _claim(folder, options)
    chips, captions, ids = _load_chips(options)
    _claim_data(folder, captions, chips)
    text = _train_text(options, work, captions)
    codec = _train_vae(options, work, chips, ids)
    data = _encode(work, chips, [str(caption) for caption in captions], ids, text, codec)
    torch.manual_seed(options.train_transformer.seed)
    transformer = build_transformer(options)
    task = TransformerTask(transformer, options.train_transformer, options.shift)
    stage = options.train_transformer
    average = WeightAverage(task.modules(), stage.ema_decay)
    _train(task, LatentSource(data, stage), stage, work / "transformer", "transformer", stage.warmup, average)
    with average.applied():
        _write_base(options, folder, text, codec, transformer)
    return folder


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


def _claim_data(folder: Path, captions: list[Caption], chips: list[np.ndarray]) -> None:
    """The folder belongs to one data set, too."""
    mark = folder / "work" / "configuration.json"
    claim = read_json(mark)
    data = sha256_json([str(c) for c in captions]) + sha256_bytes(*(c.tobytes() for c in chips))
    if claim["data"] not in (None, data):
        raise _others(folder / "work", "data set")
    write_json(mark, {**claim, "data": data})


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


def _load_chips(options: PretrainOptions) -> tuple[list[np.ndarray], list[Caption], list[str]]:
    width, height = options.resolution
    if options.data_root is None:
        made, captions = _simulated(options, max(width, height))
        amplitudes = [fit_to_bucket(grey.astype(np.float32), width, height)[0] for grey in made]
        ids = [f"simulated-{number}" for number in range(len(captions))]
    else:
        samples = read_samples(Path(options.data_root), options.layout)
        amplitudes = [fit_to_bucket(load_chip(sample.image_path), width, height)[0] for sample in samples]
        captions, ids = [sample.caption for sample in samples], [sample.id for sample in samples]
    return [options.remap.to_model(amplitude) for amplitude in amplitudes], captions, ids


def _simulated(options: PretrainOptions, size: int) -> tuple[np.ndarray, list[Caption]]:
    """Grey levels (N, size, size) and captions; traced once and kept in the work folder, since it takes minutes."""
    simulated, folder = options.simulated, Path(options.output_dir) / "work" / "chips"
    mark = {"simulated": simulated.model_dump(mode="json"), "size": size, "engine": ENGINE_VERSION}
    file, list_file = folder / "chips.npy", folder / "chips.json"
    if file.is_file() and list_file.is_file() and (kept := read_json(list_file))["made_by"] == mark:
        return np.load(file, allow_pickle=False), [parse_caption(text, str(list_file)) for text in kept["captions"]]
    say(f"simulating {simulated.count} chips")
    chips, captions = [], []
    for chip in random_chips(simulated.count, simulated.seed, size=size):
        chips.append(chip.amplitude.astype(np.uint8))
        captions.append(chip.caption)
    with atomic_path(file) as temporary:
        np.save(temporary, np.stack(chips), allow_pickle=False)
    write_json(list_file, {"made_by": mark, "captions": [str(caption) for caption in captions]})
    return np.stack(chips), captions


def _train_text(options: PretrainOptions, work: Path, captions: list[Caption]) -> TextEncoders:
    vocabulary = CaptionVocabulary.of(captions)
    source = CaptionSource(vocabulary, options.train_text.batch_size, options.train_text.seed)
    texts = [text for item in range(40) for text in source.load(item, 0).captions]
    sizes = options.text
    tokenizers = (
        build_clip_tokenizer(texts, sizes.clip_length, sizes.vocabulary, pad_with_first=False),
        build_clip_tokenizer(texts, sizes.clip_length, sizes.vocabulary, pad_with_first=True),
        build_t5_tokenizer(texts, sizes.t5_length, sizes.vocabulary),
    )
    torch.manual_seed(options.train_text.seed)
    text = build_text_encoders(sizes, tokenizers)
    task = TextTask(text, vocabulary, options.train_text.lr)
    _train(task, source, options.train_text, work / "text", "text encoders", warmup=100)
    text.model_hash = _state_hash(text)
    return text.eval().requires_grad_(False)


def _train_vae(options: PretrainOptions, work: Path, chips: list[np.ndarray], ids: list[str]) -> VaeCodec:
    torch.manual_seed(options.train_vae.seed)
    vae = build_vae(options.vae)
    source = CropSource(chips, ids, options.train_vae)
    _train(VaeTask(vae, options.train_vae), source, options.train_vae, work / "vae", "VAE", warmup=100)
    scale, shift = latent_statistics(vae, chips[:256])
    vae.register_to_config(scaling_factor=scale, shift_factor=shift)
    return VaeCodec(vae, options.transformer.patch_size, _state_hash(vae))


def _encode(
    work: Path,
    chips: list[np.ndarray],
    captions: list[str],
    ids: list[str],
    text: TextEncoders,
    codec: VaeCodec,
) -> LatentSet:
    cache = TensorCache(work / "cache")
    key = sha256_bytes(codec.model_hash.encode(), *(chip.tobytes() for chip in chips))
    latents = cache.get_or_compute(key, lambda: _encode_chips(chips, codec))
    unique = ["", *sorted(set(captions))]
    rows = {caption: row for row, caption in enumerate(unique)}
    contexts, pooled = [], []
    for start in range(0, len(unique), 64):
        context, vector = text.encode(unique[start : start + 64])
        contexts.append(context)
        pooled.append(vector)
    return LatentSet(
        latents["mean"], latents["std"], torch.cat(contexts), torch.cat(pooled), [rows[c] for c in captions], ids
    )


def _encode_chips(chips: list[np.ndarray], codec: VaeCodec) -> dict[str, torch.Tensor]:
    means, stds = [], []
    with progress_bar() as bar:
        line = bar.add_task("encoding chips", total=len(chips), note="")
        for start in range(0, len(chips), 16):
            pixels = torch.from_numpy(np.stack(chips[start : start + 16]))[:, None]
            mean, std = codec.encode(pixels)
            means.append(mean)
            stds.append(std)
            bar.update(line, completed=start + len(pixels))
    return {"mean": torch.cat(means), "std": torch.cat(stds)}


def _train(
    task: Task,
    source: BatchSource,
    options: LoopOptions,
    folder: Path,
    title: str,
    warmup: int,
    average: WeightAverage | None = None,
) -> None:
    optimizer = torch.optim.AdamW(task.parameter_groups(), weight_decay=0.01, betas=(0.9, 0.99))
    steps = options.max_steps or 1

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / max(warmup, 1)) * (
            0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    accelerator = Accelerator(cpu=True)
    log = (folder.parent / f"{folder.name}.jsonl").open("a", encoding="utf-8")

    def write_log(step: int, values: dict[str, float]) -> None:
        log.write(json.dumps({"step": step, **values}) + "\n")
        log.flush()

    with log:
        result = run_loop(
            task,
            source,
            optimizer,
            schedule,
            options,
            folder,
            accelerator,
            hooks=Hooks(log=write_log),
            average=average,
            resume_from=latest_checkpoint(folder),
            title=title,
        )
    if not result.finished:
        raise Interrupted(f"{title} stopped after step {result.steps}")


def _state_hash(module: nn.Module) -> str:
    return sha256_bytes(*(tensor.contiguous().numpy().tobytes() for _, tensor in sorted(module.state_dict().items())))


def _write_base(
    options: PretrainOptions, folder: Path, text: TextEncoders, codec: VaeCodec, transformer: nn.Module
) -> None:
    settings = BaseSettings(
        resolution=options.resolution,
        shift=options.shift,
        t5_length=options.text.t5_length,
        remap=options.remap,
        embed_dim=options.adapter_embed_dim,
        guidance_scale=options.guidance_scale,
    )
    parts = {
        "transformer": transformer,
        "vae": codec.vae,
        "text_encoder": text.clip_l,
        "text_encoder_2": text.clip_g,
        "text_encoder_3": text.t5,
    }
    tokenizers = dict(zip(("tokenizer", "tokenizer_2", "tokenizer_3"), text.tokenizers, strict=True))
    number = torch.float16 if options.store == "float16" else torch.float32
    for name, part in parts.items():
        with atomic_directory(folder / name) as path:
            nn.Module.to(part, number)
            part.save_pretrained(path, safe_serialization=True)  # pyright: ignore
        nn.Module.to(part, torch.float32)
    save_tokenizers(folder, tokenizers)  # pyright: ignore
    FlowMatchEulerDiscreteScheduler(shift=options.shift).save_pretrained(folder / "scheduler")
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / SETTINGS_FILE, settings.model_dump(mode="json"))
