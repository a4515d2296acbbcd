"""Pre-training throughput of the transformer against the machine's float32 matrix rate.

The rate is the best of several square matrix products on the same threads, timed in turns with the training steps. Work is
counted in multiply-adds of linear layers, convolutions and attention, forward and backward, by PyTorch's counter; norms,
activations, the optimizer and everything else count as no work. Blocks are compiled where the recipe says so, before the
clock starts. Recipes in bfloat16 (round2.toml) are compared with the float32 rate, too, and can exceed it; mini.toml is the
recipe in float32.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from _report import parser, report
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from geodiff_sar.core.config import load_options
from geodiff_sar.training.compilation import compile_blocks
from geodiff_sar.training.half_precision import AttentionInFloat32
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.transformer_stage import LatentBatch, TransformerTask, build_transformer

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "mini" / "round2.toml"
LIMIT = 0.7


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--config", type=Path, default=CONFIG, help="recipe of the base")
    options.add_argument("--batch", type=int, default=None, help="chips per step; default: the recipe's")
    options.add_argument("--rounds", type=int, default=7, help="timed rounds")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    recipe = load_options(PretrainOptions, given.config)
    count = given.batch or recipe.train_transformer.batch_size
    task = TransformerTask(build_transformer(recipe), recipe.train_transformer, recipe.shift)
    batch = _batch(recipe, count)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.loss(batch)[0].backward()
    work = counter.get_total_flops() / 2
    if recipe.train_transformer.compile:
        compile_blocks(task.transformer.transformer_blocks, "train_transformer.compile")
        with _precision(recipe):
            loss = task.loss(batch)[0]
        loss.backward()
    forward, step, rates = [], [], []
    for _ in range(given.rounds):
        rates.append(_matrix_rate())
        started = time.perf_counter()
        with _precision(recipe):
            loss, _ = task.loss(batch)
        middle = time.perf_counter()
        loss.backward()
        forward.append(middle - started)
        step.append(time.perf_counter() - started)
        task.transformer.zero_grad()
    rate, seconds = statistics.median(rates), statistics.median(step)
    share = work / seconds / rate
    report(
        f"pre-training, batch {count}",
        {
            "float32 matrix rate, 1e9 multiply-adds per second": f"{rate / 1e9:.1f}",
            "work of a step, 1e9 multiply-adds": f"{work / 1e9:.1f}",
            "forward and backward, s": f"{seconds:.3f} (forward {statistics.median(forward):.3f})",
            "share of the float32 matrix rate": f"{share:.1%}",
            "products in": "bfloat16" if recipe.train_transformer.precision == "bf16" else "float32",
            "blocks compiled": "yes" if recipe.train_transformer.compile else "no",
            "wanted": f"at least {LIMIT:.0%}",
        },
        {"matrix_rate": rate, "multiply_adds": work, "seconds": seconds, "ratio": share, "wanted_ratio": LIMIT},
        given.json,
    )


@contextmanager
def _precision(recipe: PretrainOptions) -> Iterator[None]:
    """As the training loop does it."""
    if recipe.train_transformer.precision == "no":
        yield
        return
    with AttentionInFloat32(), torch.autocast("cpu", torch.bfloat16):
        yield


def _batch(recipe: PretrainOptions, count: int) -> LatentBatch:
    side = [length // 2 ** (len(recipe.vae.block_out_channels) - 1) for length in recipe.resolution[::-1]]
    tokens = recipe.text.clip_length + recipe.text.t5_length
    context = torch.randn(count, tokens, recipe.text.clip_l_width + recipe.text.clip_g_width)
    latents = torch.randn(count, recipe.vae.latent_channels, *side)
    pooled = torch.randn(count, 2 * recipe.text.projection)
    return LatentBatch(latents, torch.full((recipe.vae.latent_channels,), 0.1), context, pooled, [""] * count)


def _matrix_rate() -> float:
    """Multiply-adds per second of the best of some square products."""
    best = 0.0
    for size in (512, 1024, 1536):
        left, right = torch.randn(size, size), torch.randn(size, size)
        torch.mm(left, right)
        for _ in range(3):
            started = time.perf_counter()
            torch.mm(left, right)
            best = max(best, size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
