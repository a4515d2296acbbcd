"""The README that accompanies a trained adapter."""

from geodiff_sar.model.adapter import AdapterRecord


def model_card(name: str, record: AdapterRecord, config: str) -> str:
    """Model card in the hub's layout: front matter, use, training, limits."""
    fusion = record.conditioning["fusion"]["method"]
    return f"""---
library_name: geodiff-sar
base_model: {record.base}
tags: [synthetic-aperture-radar, lora, text-to-image, geometry-conditioned]
---

# {name}

A geodiff-sar adapter: LoRA weights and conditioning modules (fusion method `{fusion}`) for the base model
`{record.base}` (hash `{record.base_hash[:12]}`), trained for {record.steps} steps at {record.resolution[0]} x
{record.resolution[1]} pixels.

## Use

```
geodiff-sar generate --pretrained_model {record.base} --lora_weights . \\
    --prompt "SAR image,<target>,<band>-band,High,HH-Polarization,0.0" --pointcloud_path <features>
```

## Files

- `{name}.safetensors`: LoRA of the transformer, loadable by diffusers.
- `{name}_fusion_weights.safetensors`: point, image and pose encoders, fusion and gate. Without them the geometry is absent.
- `{name}_fusion.json`: what both need to be loaded.

## Limits

The chips look like those of the training set. Nothing here has been checked against measurements at other angles, bands or
targets; do that before relying on them.

## Configuration

```toml
{config}```
"""
