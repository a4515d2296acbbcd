"""The README that accompanies a trained adapter."""

import json

from geodiff_sar.conditioning.options import Modality, needs_of
from geodiff_sar.model.adapter import AdapterRecord
from geodiff_sar.model.base_files import BaseFiles


def model_card(name: str, record: AdapterRecord, config: str, base: BaseFiles, repository: str | None) -> str:
    """Model card in the hub's layout: front matter, use, training, limits.

    Args:
        name: first part of the adapter's file names.
        record: its record.
        config: its training's settings, TOML.
        base: the base's files, as its user named them.
        repository: where the base is published on the hub; None: nowhere.
    """
    tree = "" if repository is None else f"\nbase_model: {repository}\nbase_model_relation: adapter"
    separate = "".join(f" \\\n    --{option} {path}" for option, path in base.separate.items())
    stack_file = "" if record.conditioning is None else f"\n{_stack_line(name)}"
    prior = "" if record.conditioning is None else " --pointcloud_path <features>"
    return f"""---
library_name: geodiff-sar{tree}
tags: [synthetic-aperture-radar, lora, text-to-image, geometry-conditioned]
---

# {name}

A geodiff-sar adapter for the base model `{record.base}` (hash `{record.base_hash[:12]}`), trained for {record.steps} steps at
{record.resolution[0]} x {record.resolution[1]} pixels.{_start(record)}

{_conditions(record)}

## Use

```
geodiff-sar generate --pretrained_model {record.base}{separate} --lora_weights . \\
    --prompt "SAR image,<target>,<band>-band,High,HH-Polarization,0.0"{prior}
```

## Files

- `{name}.safetensors`: LoRA of the transformer, loadable by diffusers.{stack_file}
- `{name}_fusion.json`: what is needed to load it.

## Limits

The chips look like those of the training set. Nothing here has been checked against measurements at other angles, bands or
targets; do that before relying on them.

## Configuration

```toml
{config}```
"""


def _start(record: AdapterRecord) -> str:
    """From which weights, where it did not begin untrained."""
    return (
        ""
        if record.started_from is None
        else f"\nIt is an adapter trained further (hash `{record.started_from[:12]}`)."
    )


def _conditions(record: AdapterRecord) -> str:
    """What conditions the chips, and what kind of priors the adapter knows."""
    header = record.conditioning
    if header is None:
        return "Nothing but the text conditions it: it has no use for point features, maps or reference chips."
    places = {
        "pooled": "the pooled text vector",
        "tokens": "decoupled attention to tokens",
        "map": "maps added to the patch embedding",
    }
    needs = needs_of(record.inject, header["conditioning"].get("modalities", _ALL))
    seen = {"geometry": needs.geometry, "a reference chip": needs.image, "the pose": needs.pose}
    lines = [
        f"Beside the text it sees {', '.join(name for name, taken in seen.items() if taken)} (`inject = "
        f"{json.dumps(record.inject)}`: through {', '.join(places[place] for place in record.inject)})."
    ]
    if header.get("fusion"):
        lines.append(f"Fusion method: `{header['fusion']['method']}`.")
    if header["sizes"].get("map_names"):
        lines.append(f"Maps: {', '.join(header['sizes']['map_names'])}.")
    if record.priors is not None:
        lines += [f"Radar of the training's priors: {radar}." for radar in record.priors.radars]
        if record.priors.depressions_deg is not None:
            low, high = record.priors.depressions_deg
            lines.append(f"Depressions: {low:g} to {high:g} degrees.")
    return "\n".join(lines)


def _stack_line(name: str) -> str:
    return (
        f"- `{name}_fusion_weights.safetensors`: encoders of points, reference and pose, and what carries them into the "
        "transformer. Without it they are absent."
    )


_ALL: list[Modality] = ["geometry", "image", "pose"]
