"""Parts from several files have to belong together."""

from collections.abc import Mapping
from typing import Any

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.single_file.layout import PartFile


def check_fit(parts: Mapping[str, PartFile], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Make sure that text encoders (T5, if it is there) and VAE have the widths that the transformer takes.

    Raises:
        FileError: they have not.
    """
    transformer, vae = configs["transformer"], configs["vae"]
    clip_l, clip_g, t5 = (configs.get(part, {}) for part in ("text_encoder", "text_encoder_2", "text_encoder_3"))
    pooled = clip_l["projection_dim"] + clip_g["projection_dim"]
    context, joined = transformer["joint_attention_dim"], clip_l["hidden_size"] + clip_g["hidden_size"]
    checks = [
        ("vae", vae["latent_channels"] == transformer["in_channels"],
         f"a VAE of {vae['latent_channels']} latent channels", f"{transformer['in_channels']} latent channels"),
        ("text_encoder_2", pooled == transformer["pooled_projection_dim"],
         f"CLIP-L and CLIP-G with pooled vectors of {clip_l['projection_dim']} + {clip_g['projection_dim']} channels",
         f"{transformer['pooled_projection_dim']} together"),
        ("text_encoder_3", t5.get("d_model", context) == context, f"T5 of width {t5.get('d_model')}", f"width {context}"),
        ("text_encoder_2", joined <= context, f"CLIP-L and CLIP-G of {joined} channels", f"at most {context}"),
    ]  # fmt: skip
    for part, fits, found, rule in checks:
        if not fits:
            raise FileError(
                parts[part].path,
                f"holds {found}",
                f"the transformer in {parts['transformer'].path.name} takes {rule}",
                "give files that belong to one model",
            )
