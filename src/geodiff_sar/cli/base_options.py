"""Options that name a base model, the same for every command."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.core.errors import OptionError

Pretrained = Annotated[
    str, typer.Option(help="mini, a folder in diffusers' layout, a single .safetensors file, or owner/name on the hub")
]
ClipL = Annotated[Path | None, typer.Option(help="file of CLIP-L, for a single file without it")]
ClipG = Annotated[Path | None, typer.Option(help="file of CLIP-G, for a single file without it")]
T5Xxl = Annotated[Path | None, typer.Option(help="file of T5-XXL, for a single file without it")]
Vae = Annotated[Path | None, typer.Option(help="file of the VAE, for a single file without it")]
T5 = Annotated[
    str | None,
    typer.Option(help="T5: whole (default), streamed (layer by layer from disk), 8bit, or none (its tokens are zero)"),
]
NoT5 = Annotated[bool, typer.Option("--no-t5", help="the same as --t5 none")]
TransformerStorage = Annotated[
    str,
    typer.Option(
        help="weights of the transformer's blocks: whole, fp8, offloaded, 8bit (torchao), 4bit (bitsandbytes)"
    ),
]
TokenizerFolder = Annotated[
    Path | None, typer.Option(help="folder of the tokenizers, for a single file; default: the hub's local cache")
]


def t5_use(t5: str | None, no_t5: bool) -> str:
    """What ``--t5`` and ``--no-t5`` say together.

    Raises:
        OptionError: they contradict each other.
    """
    if no_t5 and t5 not in (None, "none"):
        raise OptionError("--no-t5", f"together with --t5 {t5}", "one of them", "leave one out")
    return "none" if no_t5 else t5 or "whole"
