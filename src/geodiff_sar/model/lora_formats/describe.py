"""What a LoRA holds, in words."""

from collections import Counter

from geodiff_sar.model.lora_formats.canonical import Lora


def ranks_in_words(lora: Lora) -> str:
    """How many modules have which rank and alpha, the commonest first: "8 of rank 4 (alpha 6), 1 of rank 2 (alpha 6)"."""
    found = Counter((factors.rank, f"{factors.alpha:.4g}") for factors in lora.modules.values())
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} of rank {rank} (alpha {alpha})" for (rank, alpha), count in ordered)
