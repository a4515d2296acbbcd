"""What a finished pre-training leaves beside the weights: a model card, curves, numbers of the autoencoder, samples."""

from pathlib import Path

import numpy as np
from torch import nn

from geodiff_sar.core.config import dump_toml
from geodiff_sar.core.files import atomic_path, atomic_write_text, write_json
from geodiff_sar.core.types import Pose
from geodiff_sar.data.corpus import CorpusOptions, corpus_chips, make_corpus
from geodiff_sar.model.base import load_base
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline
from geodiff_sar.sampling.sheet import brightened, contact_sheet
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.workflows.pretraining.chips import TrainingChips
from geodiff_sar.workflows.pretraining.stage import read_log
from geodiff_sar.workflows.roundtrip import measure_chips, write_roundtrip_sheet

NEVER_SEEN = 1_000_000
"""First seed of the vehicles and composites of the held-out corpus."""

SAMPLE_AZIMUTHS = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
CURVES = (("text", "text/azimuth"), ("vae", "vae/psnr_db"), ("transformer", "loss"))


def write_papers(options: PretrainOptions, folder: Path, chips: TrainingChips) -> None:
    """``README.md`` (the model card) in the base's folder; ``curves.png``, ``samples.png``, ``vae.png`` and ``numbers.json``
    in its ``work/report``. Chips that are held out come from the ray tracer, of vehicles that the training corpus has not."""
    report = folder / "work" / "report"
    base = load_base(str(folder))
    _curves(report / "curves.png", folder / "work")
    numbers = _autoencoder(options, report, base.vae)
    write_json(report / "numbers.json", numbers)
    _samples(report / "samples.png", GeoDiffSARPipeline.from_base(base), chips)
    parts = {
        "transformer": base.transformer,
        "autoencoder": base.vae.vae,
        "text (CLIP-L, CLIP-G, T5)": base.text.encoders,
    }
    atomic_write_text(folder / "README.md", _card(options, folder.name, parts, numbers, chips))


def _curves(path: Path, work: Path) -> None:
    import matplotlib.figure

    curves = [(stage, name) for stage, name in CURVES if (work / f"{stage}.jsonl").is_file()]
    figure = matplotlib.figure.Figure(figsize=(4 * len(curves), 3.2), layout="constrained")
    for axis, (stage, name) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        points = read_log(work / stage)[name]
        steps, values = np.array(points).T
        axis.plot(steps, values, color="0.8", linewidth=0.6)
        width = max(1, len(values) // 60)
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        axis.plot(steps[width - 1 :], smooth, color="C0")
        low, high = np.quantile(values, [0.0, 0.97])
        axis.set(xlabel="step", title=f"{stage}: {name.rpartition('/')[2]}", ylim=(low, high) if low < high else None)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _autoencoder(options: PretrainOptions, report: Path, codec: VaeCodec) -> dict[str, float | None]:
    """Numbers on chips of vehicles and composites that the training corpus has not; a sheet of some of them."""
    if options.held_out == 0:
        return {}
    held_out = CorpusOptions(
        count=options.held_out,
        shard=options.held_out,
        size=max(options.resolution),
        seed=options.corpus.seed + 1,
        first_member=NEVER_SEEN,
    )
    chips = corpus_chips(make_corpus(held_out, report / "held_out"))
    write_roundtrip_sheet(report / "vae.png", chips, codec, options.remap)
    return measure_chips(chips, codec, options.remap)


def _samples(path: Path, pipeline: GeoDiffSARPipeline, chips: TrainingChips) -> None:
    """One row per target of the captions, its most frequent band, at eight azimuths."""
    pictures, labels = [], []
    for target in sorted({caption.target for caption in chips.captions}):
        like = next(c for c in chips.captions if c.target == target and c.azimuth_deg is not None)
        prompts = [str(like.with_azimuth(azimuth)) for azimuth in SAMPLE_AZIMUTHS]
        requests = [ChipRequest(text, 7, pose=Pose(a)) for text, a in zip(prompts, SAMPLE_AZIMUTHS, strict=True)]
        output = pipeline(requests)
        pictures += [brightened(amplitude) for amplitude in output.amplitudes]
        labels += [f"{target} {azimuth:g}" for azimuth in SAMPLE_AZIMUTHS]
    contact_sheet(path, pictures, labels, len(SAMPLE_AZIMUTHS))


def _card(
    options: PretrainOptions,
    name: str,
    parts: dict[str, nn.Module],
    numbers: dict[str, float | None],
    chips: TrainingChips,
) -> str:
    data = f"`{options.data_root}`" if options.data_root else "the ray tracer (`data/corpus.py`), no radar data"
    millions = {part: sum(p.numel() for p in module.parameters()) / 1e6 for part, module in parts.items()}
    rows = "\n".join(f"| {part} | {size:.2f} M |" for part, size in millions.items())
    targets = ", ".join(sorted({caption.target for caption in chips.captions}))
    measured = "\n".join(f"| {key} | {value:.4g} |" for key, value in numbers.items() if value is not None)
    width, height = options.resolution
    return f"""---
library_name: geodiff-sar
license: apache-2.0
tags: [synthetic-aperture-radar, text-to-image, stable-diffusion-3]
---

# {name}

A small base model in the layout of Stable Diffusion 3.5, for chips of {width} x {height} pixels, trained from scratch on
{len(chips.ids)} chips of {data}. It is conditioned by text alone; geometry comes with an adapter.

| part | parameters |
|---|---|
{rows}

The autoencoder on simulated chips that it has not seen, of vehicles and composites that are in no training chip (medians over
the chips; looks are those of clutter; the JPEG file has at most as many bytes as the latent has numbers):

| number | value |
|---|---|
{measured or "| not measured | |"}

## What it is not

- Not a model of radar images at large: it has seen the chips above. Adapters fit it to others, within what its size allows.
- Not for targets by their names, except those of its captions: {targets}.
- Not a source of clutter statistics finer than the numbers above.

## Recipe

```toml
{dump_toml(options)}```
"""
