"""The README that accompanies a trained adapter."""

import json
from dataclasses import replace

from geodiff_sar.conditioning.options import Modality, needs_of
from geodiff_sar.core.condition import Needs
from geodiff_sar.model.adapter import AdapterRecord
from geodiff_sar.model.adapter_files import FULL_SUFFIX, FUSION_SUFFIX, RECORD_SUFFIX
from geodiff_sar.model.base_files import BaseFiles


def model_card(name: str, record: AdapterRecord, config: str, base: BaseFiles, repository: str | None) -> str:
    """Model card in the hub's layout: front matter, use, files, limits, configuration; it names the files that were saved.

    Args:
        name: first part of the adapter's file names.
        record: its record.
        config: its training's settings, TOML.
        base: the base's files, as its user named them.
        repository: where the base is published on the hub; None: nowhere.
    """
    relation = "finetune" if record.full else "adapter"
    tree = "" if repository is None else f"\nbase_model: {repository}\nbase_model_relation: {relation}"
    separate = "".join(f" \\\n    --{option} {path}" for option, path in base.separate.items())
    needs = _needs(record)
    given = {"pointcloud_path <features>": needs.geometry, "reference <chip>": needs.image}
    conditions = "".join(f" \\\n    --{option}" for option, taken in given.items() if taken)
    tags = {"lora": record.lora is not None, "text-to-image": True, "geometry-conditioned": needs.geometry}
    return f"""---
library_name: geodiff-sar{tree}
tags: [{", ".join(["synthetic-aperture-radar", *(tag for tag, fits in tags.items() if fits)])}]
---

# {name}

{_title(record)}, trained for {record.steps} steps at
{record.resolution[0]} x {record.resolution[1]} pixels.{_start(record)}

{_conditions(record)}

## Use

In this folder, with the base at hand:

```
geodiff-sar generate --pretrained_model {record.base}{separate} --lora_weights . \\
    --prompt "SAR image,<target>,<band>-band,High,HH-Polarization,0.0"{conditions}
```

{_elsewhere(name, record)}

## Files

{_files(name, record)}

## Limits

The chips look like those of the training set. Nothing here has been checked against measurements at other angles, bands or
targets; do that before relying on them.

## Configuration

```toml
{config}```
"""


def _title(record: AdapterRecord) -> str:
    base = f"the base model `{record.base}` (hash `{record.base_hash[:12]}`)"
    if record.full:
        return f"A full fine-tuning, by geodiff-sar, of the transformer of {base}"
    if record.lora is not None:
        return f"A geodiff-sar adapter for {base}, with a {'DoRA' if record.lora.dora else 'LoRA'} of its transformer"
    return f"A geodiff-sar adapter for {base}, whose own weights it leaves as they are"


def _elsewhere(name: str, record: AdapterRecord) -> str:
    """What other programs can do with it."""
    alone = "" if record.conditioning is None else ", where text alone conditions it"
    if record.full:
        return f"""In diffusers{alone}, on the base's transformer:

```python
transformer.load_state_dict(safetensors.torch.load_file("{name}{FULL_SUFFIX}"))
```"""
    if record.lora is not None:
        return f"""In diffusers{alone}, on the base's pipeline:

```python
pipeline.load_lora_weights(".", weight_name="{name}.safetensors")
```

{_converted(record)}"""
    return "There is no LoRA in it, and nothing that other programs could load."


def _converted(record: AdapterRecord) -> str:
    if record.lora is not None and record.lora.dora:
        return "sd-scripts and ComfyUI have no such DoRA, so it cannot be converted for them."
    return "`geodiff-sar convert-lora` writes it for other programs."


def _files(name: str, record: AdapterRecord) -> str:
    """The files of the adapter, by their names."""
    lines = []
    if record.full:
        whole = "all weights of the transformer, in diffusers' names; they take the place of the base's."
        lines.append(f"`{name}{FULL_SUFFIX}`: {whole}")
    elif record.lora is not None:
        kind = "DoRA" if record.lora.dora else "LoRA"
        lines.append(
            f"`{name}.safetensors`: {kind} of the transformer, in diffusers' names, rank and alpha in its header."
        )
    if record.conditioning is not None:
        lines.append(
            f"`{name}{FUSION_SUFFIX}`: what encodes {_seen(record)} and carries it into the transformer; no other program"
            " reads it."
        )
    lines.append(f"`{name}{RECORD_SUFFIX}`: what is needed to load the others.")
    return "\n".join(f"- {line}" for line in lines)


def _start(record: AdapterRecord) -> str:
    """From which weights, where it did not begin untrained."""
    return (
        ""
        if record.started_from is None
        else f"\nIt is an adapter trained further (hash `{record.started_from[:12]}`)."
    )


def _needs(record: AdapterRecord) -> Needs:
    """Which conditions it takes beside the text; a reference only where training showed it some."""
    if record.conditioning is None:
        return Needs(False, False, False, False)
    needs = needs_of(record.inject, record.conditioning["conditioning"].get("modalities", _ALL))
    return replace(needs, image=needs.image and record.image_condition != "none")


def _seen(record: AdapterRecord) -> str:
    needs = _needs(record)
    seen = {"geometry": needs.geometry, "a reference chip": needs.image, "the pose": needs.pose}
    return ", ".join(name for name, taken in seen.items() if taken)


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
    lines = [
        f"Beside the text it sees {_seen(record)} (`inject = "
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


_ALL: list[Modality] = ["geometry", "image", "pose"]
