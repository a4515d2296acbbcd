"""All eight fusion methods on a folder in the published layout: does the loss fall, and does the point cloud steer the image?

Each method trains an adapter by configs/geodiff10_mini.toml and generates the chip of every caption from its own point cloud,
with one seed. Reported are the mean absolute changes of the picture in grey levels (0..255) when (a) the same cloud is used
again, (b) another aircraft's cloud is used, (c) fusion is off; and training loss first and last (means of 20 steps).
"""

from pathlib import Path

import numpy as np
import torch
from _report import parser, report
from PIL import Image

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.injection import GATE_GAIN
from geodiff_sar.core.config import load_options
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.sample import Sample
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.sampling.sheet import contact_sheet
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.train import TrainConfig, run_training

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "geodiff10_mini.toml"
SEED, SIDE = 7, 128


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, help="folder in the published layout")
    options.add_argument("--output", type=Path, required=True, help="folder for adapters and pictures")
    options.add_argument("--methods", nargs="+", default=FUSIONS.names(), help="fusion methods")
    options.add_argument("--steps", type=int, default=300, help="training steps")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    samples = read_samples(given.data)
    others = [next(o for o in samples if o.caption.target != s.caption.target) for s in samples]
    rows, numbers = {}, {}
    for method in given.methods:
        overrides = [f"data.root={given.data}", f"fusion.method={method}", f"output_dir={given.output}",
                     f"output_name={method}", f"train.max_steps={given.steps}", "resume=never"]  # fmt: skip
        folder, result = run_training(load_options(TrainConfig, CONFIG, overrides))
        losses = np.array(result.losses)
        own = _pictures(folder, "own", samples, samples)
        changes = {
            "same cloud": _change(own, _pictures(folder, "again", samples, samples)),
            "other cloud": _change(own, _pictures(folder, "other", samples, others)),
            "fusion off": _change(own, _pictures(folder, "off", samples, None)),
        }
        gate = _gate(folder)
        numbers[method] = {
            "loss_first": float(losses[:20].mean()),
            "loss_last": float(losses[-20:].mean()),
            "gate_mean_magnitude": gate,
            "seconds": result.seconds,
            **changes,
        }
        rows[method] = f"loss {losses[:20].mean():.3f} -> {losses[-20:].mean():.3f}, gate {gate:.4f}, " + ", ".join(
            f"{name} {value:.2f}" for name, value in changes.items()
        )
        contact_sheet(given.output / f"{method}.png", own, [f"{s.id} {s.caption.target}" for s in samples], columns=5)
    report("fusion methods on the published sample", rows, {"methods": numbers}, given.json)


def _pictures(folder: Path, name: str, samples: list[Sample], clouds: list[Sample] | None) -> list[np.ndarray]:
    target = folder / "pictures" / name
    target.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, sample in enumerate(samples):
        cloud = f" --pc {clouds[number].prior_path}" if clouds is not None else ""
        lines.append(f"{sample.caption_text} --d {SEED}{cloud}")
    prompts = target / "prompts.txt"
    prompts.write_text("\n".join(lines) + "\n")
    request = {
        "lora_weights": str(folder),
        "prompts_file": prompts,
        "sample_steps": 28,
        "width": SIDE,
        "height": SIDE,
        "batch_size": 10,
        "enable_3d_fusion": False if clouds is None else None,
        "output_dir": target,
        "overwrite": True,
    }
    return [np.asarray(Image.open(path)) for path in generate_chips(GenerateRequest.model_validate(request))]


def _change(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return float(
        np.mean([np.abs(a.astype(float) - b.astype(float)).mean() for a, b in zip(first, second, strict=True)])
    )


def _gate(folder: Path) -> float:
    from safetensors.torch import load_file

    return float(load_file(resolve_adapter(str(folder)).fusion_weights)["injection.theta"].abs().mean() * GATE_GAIN)


if __name__ == "__main__":
    main()
