"""Stable Diffusion 3.5 Medium at full size, with random weights: memory and time of loading, generation and a training step.

Writes a checkpoint in the published single-file layout (transformer, VAE and both CLIPs inside, 6.6 GB in bfloat16; with
``--t5`` a T5-XXL of 9.5 GB beside it) unless ``--checkpoint`` names a folder that has one, then runs each command in a
process of its own and reads its peak resident memory, pages of mapped files included. The peer is diffusers' own pipeline by
``from_single_file`` on the same file, the same size and steps.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _report import parser, report

from geodiff_sar.model.folder_base import EMBEDDED, MODEL_INDEX
from geodiff_sar.model.single_file.derive import published

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
LIMITS = {"generate without T5": 8.0, "generate, T5 streamed": 10.0, "one LoRA step": 16.0}
"""Wanted peaks, GiB."""

SIDE, PROMPT = 256, "SAR image,T72,X-band,High,HH-Polarization,30.0"


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--checkpoint", type=Path, help="folder for the checkpoint, kept; default: a temporary one")
    options.add_argument("--t5", action="store_true", help="with T5-XXL")
    options.add_argument("--steps", type=int, default=4, help="solver steps")
    options.add_argument("--write", action="store_true", help="only write the checkpoint, in this process")
    options.add_argument("--peer", action="store_true", help="only run diffusers' pipeline, in this process")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    if given.write:
        write_checkpoint(given.checkpoint, given.t5)
        return
    if given.peer:
        run_peer(given.checkpoint, given.steps, given.t5)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.checkpoint or Path(temporary) / "checkpoint"
        # in a process of its own: a process that is started begins with the peak of the one that starts it
        written = [sys.executable, __file__, "--write", "--checkpoint", str(folder), *(["--t5"] if given.t5 else [])]
        subprocess.run(written, check=True)
        rows = measure(folder, Path(temporary), given.steps, given.t5, given.threads)
    facts = {}
    for name, row in rows.items():
        limit = f", {row['peak_gib'] / LIMITS[name]:.2f} of {LIMITS[name]:.0f} GiB" if name in LIMITS else ""
        facts[name] = f"{row['peak_gib']:.2f} GiB{limit}, {row['seconds']:.0f} s"
    peer = rows["diffusers, without T5"]
    ours = rows["generate without T5"]
    facts["peak, ratio to diffusers"] = f"{ours['peak_gib'] / peer['peak_gib']:.2f}"
    if given.t5:
        ours, peer = rows["generate, T5 streamed"], rows["diffusers, with T5"]
        facts["peak with T5, ratio to diffusers"] = f"{ours['peak_gib'] / peer['peak_gib']:.2f}"
    load = load_seconds(folder) if given.checkpoint else None
    if load is not None:
        facts["loading the transformer, seconds, ours / diffusers"] = f"{load[0]:.1f} / {load[1]:.1f}"
    report(
        f"SD3.5 Medium, {SIDE} x {SIDE}, {given.steps} steps, bfloat16", facts, {"rows": rows, "load": load}, given.json
    )


def write_checkpoint(folder: Path, t5: bool) -> None:
    """The single file ``model.safetensors``, ``t5xxl.safetensors`` if wanted, and a folder of configurations for the peer."""
    from diffusers import AutoencoderKL, SD3Transformer2DModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    from checkpoint_support import PREFIXES, published_transformer, published_vae

    def random(module: Any) -> Any:
        module = module.to(torch.bfloat16).to_empty(device="cpu")
        generator = torch.Generator().manual_seed(0)
        for name, tensor in module.state_dict().items():
            scale = 0.02 if tensor.ndim > 1 else 0.001
            tensor.normal_(1.0 if name.endswith("weight") and tensor.ndim == 1 else 0.0, scale, generator=generator)
        return module

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.safetensors").is_file():
        with torch.device("meta"):
            transformer = SD3Transformer2DModel.from_config(published("transformer"))
            vae = AutoencoderKL.from_config(published("vae"))
            clips = {
                name: CLIPTextModelWithProjection(CLIPTextConfig(**published(part)))
                for name, part in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2"))
            }
        state = {PREFIXES["transformer"] + k: v for k, v in published_transformer(random(transformer)).items()}
        state |= {PREFIXES["vae"] + k: v for k, v in published_vae(random(vae)).items()}
        for name, clip in clips.items():
            tensors = random(clip).state_dict()
            state |= {PREFIXES[name] + k: v for k, v in tensors.items() if k != "position_ids"}
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "part.safetensors")
        (folder / "part.safetensors").rename(folder / "model.safetensors")
    if t5 and not (folder / "t5xxl.safetensors").is_file():
        with torch.device("meta"):
            encoder = T5EncoderModel(T5Config(**published("text_encoder_3")))
        tensors = random(encoder).state_dict()
        tensors.pop("encoder.embed_tokens.weight", None)
        save_file(tensors, folder / "part.safetensors", {"format": "pt"})
        (folder / "part.safetensors").rename(folder / "t5xxl.safetensors")
    if t5 and not (folder / "t5").is_dir():
        (folder / "t5").mkdir()
        (folder / "t5" / "config.json").write_text(json.dumps(published("text_encoder_3")))
        (folder / "t5" / "model.safetensors").symlink_to(folder.resolve() / "t5xxl.safetensors")
    configs = folder / "configs"
    if not configs.is_dir():
        for part in ("transformer", "vae", "text_encoder", "text_encoder_2"):
            (configs / part).mkdir(parents=True)
            (configs / part / "config.json").write_text(json.dumps(published(part)))
        (configs / "scheduler").mkdir()
        (configs / "scheduler" / "scheduler_config.json").write_text(json.dumps(published("scheduler")))
        for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
            shutil.copytree(EMBEDDED["mini"] / name, configs / name)
        without = {**MODEL_INDEX, "text_encoder_3": [None, None], "tokenizer_3": [None, None]}
        (configs / "model_index.json").write_text(json.dumps(without))


def measure(folder: Path, work: Path, steps: int, t5: bool, threads: int) -> dict[str, dict[str, float]]:
    model = ["--pretrained_model", folder / "model.safetensors", "--tokenizers", EMBEDDED["mini"]]
    size = ["--width", SIDE, "--height", SIDE, "--sample_steps", steps, "--batch_size", 1, "--seed", 1]
    generate = ["-m", "geodiff_sar", "generate", *model, *size, "--dtype", "bf16", "--prompt", PROMPT]
    peer = [__file__, "--peer", "--checkpoint", folder, "--steps", steps, "--threads", threads]
    commands: dict[str, list[Any]] = {
        "generate without T5": [*generate, "--no-t5", "--output_dir", work / "a"],
        "diffusers, without T5": peer,
    }
    if t5:
        with_t5 = [*generate, "--t5xxl", folder / "t5xxl.safetensors"]
        commands["generate, T5 streamed"] = [*with_t5, "--t5", "streamed", "--output_dir", work / "b"]
        commands["generate, T5 whole"] = [*with_t5, "--output_dir", work / "c"]
        commands["diffusers, with T5"] = [*peer, "--t5"]
    config = training(folder, work)
    commands["one LoRA step"] = ["-m", "geodiff_sar", "train", "--config", config]
    return {name: run([sys.executable, *map(str, command)], threads) for name, command in commands.items()}


def training(folder: Path, work: Path) -> Path:
    """A configuration of one step at rank 32, batch 1, with gradient checkpointing, on two random chips with clouds."""
    from support import write_chips_root

    write_chips_root(work / "chips", count=2)
    path = work / "step.toml"
    text = f"""base = "{folder / "model.safetensors"}"
tokenizers = "{EMBEDDED["mini"]}"
output_dir = "{work / "output"}"
memory = {{ t5 = "none" }}
inject = ["pooled"]
data.root = "{work / "chips"}"
data.image_condition = "none"
data.buckets = {{ resolution = [{SIDE}, {SIDE}], enable_bucket = false }}
lora = {{ rank = 32 }}
train = {{ max_steps = 1, batch_size = 1, precision = "bf16", gradient_checkpointing = true }}
"""
    path.write_text(text)
    return path


def run(command: list[str], threads: int) -> dict[str, float]:
    """Seconds and peak resident memory of a command."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return {"seconds": time.monotonic() - started, "peak_gib": usage.ru_maxrss / 2**20}


def run_peer(folder: Path, steps: int, t5: bool) -> None:
    """The same picture by diffusers' own pipeline, with T5 as it loads it by itself if wanted."""
    from diffusers import StableDiffusion3Pipeline
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = T5EncoderModel.from_pretrained(folder / "t5", dtype=torch.bfloat16) if t5 else None
    tokenizer = AutoTokenizer.from_pretrained(folder / "configs" / "tokenizer_3") if t5 else None
    pipeline = StableDiffusion3Pipeline.from_single_file(
        folder / "model.safetensors",
        config=str(folder / "configs"),
        text_encoder_3=encoder,
        tokenizer_3=tokenizer,
        torch_dtype=torch.bfloat16,
        local_files_only=True,
    )
    pipeline(PROMPT, num_inference_steps=steps, guidance_scale=7.5, height=SIDE, width=SIDE, output_type="np")


def load_seconds(folder: Path) -> tuple[float, float]:
    """Seconds to load the transformer: ours, and diffusers' ``from_single_file``; the file is in the system's cache."""
    from diffusers import SD3Transformer2DModel

    from geodiff_sar.model.base_files import BaseFiles
    from geodiff_sar.model.base_parts import PARTS
    from geodiff_sar.model.single_file.source import SingleFileBase

    file = folder / "model.safetensors"
    source = SingleFileBase(BaseFiles(str(file), tokenizers=EMBEDDED["mini"]), PARTS[:4])
    started = time.perf_counter()
    source.load("transformer", torch.bfloat16)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    SD3Transformer2DModel.from_single_file(
        str(file),
        config=str(folder / "configs"),
        subfolder="transformer",
        torch_dtype=torch.bfloat16,
        local_files_only=True,
    )
    return ours, time.perf_counter() - started


if __name__ == "__main__":
    main()
