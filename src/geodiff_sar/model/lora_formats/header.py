"""Header texts of files in the original model's names, as sd-scripts writes them and other programs look for them.

``modelspec.*``: Stability-AI/ModelSpec 1.0.1, the version that sd-scripts (``library/sai_model_spec.py``) writes.
Architectures are named as SwarmUI, which reads them, names them; sd-scripts' doubled stable-diffusion-3-3-5-medium/lora is
replaced. ComfyUI reads none of these texts.
"""

from collections import Counter
from collections.abc import Sequence

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.base import Written
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.dora import Divisor

OF_THE_FILE = ("format", "lora_adapter_metadata", "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")
"""Texts that are about the names or bytes of the source file, and so are not copied."""

ARCHITECTURES = {
    "3-5-medium": "stable-diffusion-v3.5-medium/lora",
    "3-5-large": "stable-diffusion-v3.5-large/lora",
    "3-medium": "stable-diffusion-v3-medium/lora",
}
"""sd-scripts' ``ss_base_model_version``: the architecture of a LoRA for it."""

GUESSED_VERSION = "3-5-medium"
"""Of a LoRA that says nothing of its model: the one that this package is for."""

LARGE_WIDTH = 2432
"""Width of SD3.5-Large's tokens."""


def kept(lora: Lora) -> dict[str, str]:
    """Texts of the source's header that stay true of another file with the same change of weights."""
    return {key: value for key, value in lora.metadata.items() if key not in OF_THE_FILE}


def original_header(written: Sequence[Written], lora: Lora, title: str) -> dict[str, str]:
    """The whole header of a file in the original model's names.

    Rank and alpha are the source's if it states them and nothing was truncated, else those of most modules with q, k and v
    apart.
    """
    header = kept(lora)
    version = version_of(lora) or GUESSED_VERSION
    truncated = any(module.error for module in written)
    if truncated or not {"ss_network_dim", "ss_network_alpha"} <= header.keys():
        modules = [module.factors for module in written] if truncated else list(lora.modules.values())
        (dim, alpha), _ = Counter((factors.rank, _rounded(factors)) for factors in modules).most_common(1)[0]
        header |= {"ss_network_dim": str(dim), "ss_network_alpha": f"{alpha:g}"}
    header |= {
        "format": "pt",
        "ss_network_module": "networks.lora_sd3",
        "ss_base_model_version": version,
        "ss_v2": "False",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": ARCHITECTURES[version],
    }
    header.setdefault("modelspec.implementation", "diffusers")  # what sd-scripts writes for SD3
    header.setdefault("modelspec.title", title)
    header.setdefault("modelspec.resolution", "1024x1024")
    return header


def refuse_dora(
    lora: Lora,
    reason: str,
    over: Divisor | None = None,
    remedy: str = "convert to diffusers, or train without DoRA",
) -> None:
    """Make sure that a LoRA has no DoRA that a format cannot hold.

    Args:
        lora: the LoRA.
        reason: why the format cannot hold it.
        over: the rule that it cannot hold; None: either.
        remedy: what to do instead.

    Raises:
        DataError: it has.
    """
    found = lora.with_dora(over)
    if found:
        raise DataError(
            lora.source,
            f"is DoRA: {len(found)} of {len(lora.modules)} modules have magnitudes, '{found[0]}' the first",
            reason,
            remedy,
        )


def version_of(lora: Lora) -> str | None:
    """sd-scripts' name of the model: by the second attention and the width, as sd-scripts tells them apart, else what the
    source says; None where neither tells."""
    if lora.dual:
        return "3-5-medium"
    if lora.width == LARGE_WIDTH:
        return "3-5-large"
    said = lora.metadata.get("ss_base_model_version")
    if said in ARCHITECTURES:
        return said
    architecture = lora.metadata.get("modelspec.architecture")
    return next((version for version, named in ARCHITECTURES.items() if named == architecture), None)


def _rounded(factors: Factors) -> float:
    return float(f"{factors.alpha:.6g}")
