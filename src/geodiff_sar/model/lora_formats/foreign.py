"""Names by which files of other models are recognised, so that the user hears what was given."""

import re
from collections.abc import Sequence

OTHERS = (
    (
        r"hada_w|lokr_|oft_|boft|lora_mid|\.(diff|diff_b|set_weight)$|glora",
        "a LyCORIS or full-rank file, not plain LoRA",
    ),
    (r"(double_blocks|single_blocks|single_transformer_blocks)[._]", "a LoRA of Flux"),
    (r"(input_blocks|output_blocks|down_blocks|up_blocks|mid_block)[._]", "a LoRA of Stable Diffusion 1, 2 or XL"),
    (r"lora_transformer_|lycoris_", "a LoRA in OneTrainer's or SimpleTuner's names"),
    (r"(cross_attn|self_attn|img_mod|txt_mod|noise_refiner|context_refiner)[._]", "a LoRA of another transformer"),
    (r"^(model\.diffusion_model|joint_blocks|first_stage_model|text_encoders)\.", "a whole checkpoint, not a LoRA"),
    (
        r"^(transformer_blocks|pos_embed|time_text_embed)\b.*(weight|bias)$",
        "weights of a whole transformer, not a LoRA",
    ),
    (r"^(fusion|points|geometry|image|pose|injection|null_)[._]", "conditioning weights of an adapter, not its LoRA"),
)


def looks_like(names: Sequence[str]) -> str:
    """What names without a place in SD3 look like, as the end of a sentence; empty where nothing is recognised."""
    for pattern, model in OTHERS:
        if any(re.search(pattern, name) for name in names):
            return f"; it looks like {model}"
    return ""
