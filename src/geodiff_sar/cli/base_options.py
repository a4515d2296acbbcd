"""Options that name a base model, the same for every command."""

from pathlib import Path
from typing import Annotated

import typer

Pretrained = Annotated[
    str, typer.Option(help="mini, a folder in diffusers' layout, a single .safetensors file, or owner/name on the hub")
]
ClipL = Annotated[Path | None, typer.Option(help="file of CLIP-L, for a single file without it")]
ClipG = Annotated[Path | None, typer.Option(help="file of CLIP-G, for a single file without it")]
T5Xxl = Annotated[Path | None, typer.Option(help="file of T5-XXL, for a single file without it")]
Vae = Annotated[Path | None, typer.Option(help="file of the VAE, for a single file without it")]
TokenizerFolder = Annotated[
    Path | None, typer.Option(help="folder of the tokenizers, for a single file; default: the hub's local cache")
]
