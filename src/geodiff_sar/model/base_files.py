"""What the user named as a base model: a folder, or single files."""

from dataclasses import dataclass, replace
from pathlib import Path

from geodiff_sar.core.errors import OptionError


@dataclass(frozen=True)
class BaseFiles:
    """Where a base model is.

    Attributes:
        name: "mini", a folder in diffusers' layout, or a single .safetensors file.
        clip_l, clip_g, t5xxl, vae: files of these parts, for a single file; a part that the single file holds as well is
            taken from its own file.
        tokenizers: folder of the tokenizers, for a single file; None: those in the hub's local cache.
    """

    name: str
    clip_l: Path | None = None
    clip_g: Path | None = None
    t5xxl: Path | None = None
    vae: Path | None = None
    tokenizers: Path | None = None

    @staticmethod
    def of(base: "str | BaseFiles") -> "BaseFiles":
        """The base that a name alone, or a name with its separate files, stands for."""
        return base if isinstance(base, BaseFiles) else BaseFiles(base)

    @property
    def separate(self) -> dict[str, Path]:
        """The files and folders given beside the name, by option."""
        options = ("clip_l", "clip_g", "t5xxl", "vae", "tokenizers")
        return {option: path for option in options if (path := getattr(self, option)) is not None}

    @property
    def is_single(self) -> bool:
        """Whether the name is that of a file."""
        return Path(self.name).is_file() or Path(self.name).suffix.lower() in (".safetensors", ".ckpt", ".pt", ".gguf")

    def refuse_separate(self) -> None:
        """A folder holds all parts, so that separate files would have no effect.

        Raises:
            OptionError: there are some.
        """
        for option, path in self.separate.items():
            raise OptionError(
                f"{option} (--{option})",
                str(path),
                "separate files belong to a single-file checkpoint; a folder in diffusers' layout holds all parts",
                "leave it out, or give --pretrained_model a .safetensors file",
            )

    def absolute(self) -> "BaseFiles":
        """The same files by absolute paths; ``name`` stays as it is."""
        return replace(self, **{option: path.resolve() for option, path in self.separate.items()})
