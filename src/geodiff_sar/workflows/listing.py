"""What there is to choose from, as text."""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.registry import Registry


def listing(what: str) -> str:
    """Names of one kind with a line about each; ``options`` and ``tracing`` list every key of a configuration."""
    kinds = {
        "fusion": _fusion,
        "optimizers": _optimizers,
        "solvers": _solvers,
        "schedules": _schedules,
        "layouts": _layouts,
        "loras": _loras,
        "bases": _bases,
        "targets": _targets,
        "radars": _radars,
        "engines": _engines,
        "options": _options,
        "tracing": _tracing,
    }
    if what not in kinds:
        raise OptionError("list", repr(what), f"one of {', '.join(kinds)}", "choose one of these")
    return kinds[what]()


def _described(registry: Registry[Any]) -> str:
    return "\n".join(
        f"{name:20s} {(registry.get(name).__doc__ or '').strip().splitlines()[0]}" for name in registry.names()
    )


def _fusion() -> str:
    from geodiff_sar.conditioning.fusion import FUSIONS

    blocks = []
    for name in FUSIONS.names():
        method = FUSIONS.get(name)
        module = __import__(method.__module__, fromlist=["x"])
        options = [f"    {line}" for line in _keys(method.Options, "")]
        blocks.append("\n".join([f"{name:20s} {(module.__doc__ or '').strip()}", *options]))
    return "\n".join(blocks)


def _optimizers() -> str:
    from geodiff_sar.training.optimizers import OPTIMIZERS

    return _described(OPTIMIZERS) + "\nor any class by its dotted path, such as torch.optim.RAdam"


def _solvers() -> str:
    from geodiff_sar.sampling.solvers import SOLVERS

    return _described(SOLVERS)


def _schedules() -> str:
    from geodiff_sar.training.schedules import SCHEDULES

    return "\n".join(SCHEDULES)


def _layouts() -> str:
    from geodiff_sar.data.readers import READERS

    return _described(READERS)


def _loras() -> str:
    from geodiff_sar.model.lora_formats import LORA_FORMATS

    return _described(LORA_FORMATS)


def _bases() -> str:
    from geodiff_sar.model.folder_base import EMBEDDED

    return "\n".join(f"{name:20s} {folder}" for name, folder in EMBEDDED.items())


def _targets() -> str:
    from geodiff_sar.geometry.targets import target_names

    families = ("tank", "carrier", "truck", "vehicle", "composite")
    return "\n".join([*target_names(), *(f"{name}:<seed>" for name in families), "or a mesh file"])


def _radars() -> str:
    from geodiff_sar.geometry.radar import PRESETS

    blocks = []
    for name, radar in PRESETS.items():
        params = radar.params()
        blocks.append(
            f"{name:12s} {radar.center_frequency_hz / 1e9:g} GHz, resolution {params.range_resolution_m:.3f} m in"
            f" slant range, {params.cross_range_resolution_m:.3f} m in cross-range, {radar.rows} x {radar.columns} pixels of"
            f" {radar.pixel_cross_range_m:g} x {radar.pixel_range_m:g} m"
        )
    from geodiff_sar.geometry.radar import RadarOptions

    return "\n".join([*blocks, "or a .toml file with", *_keys(RadarOptions, "    ")])


def _engines() -> str:
    from geodiff_sar.geometry.engines import ENGINES

    return _described(ENGINES)


def _tracing() -> str:
    from geodiff_sar.workflows.tracing import TraceConfig

    return "\n".join(_keys(TraceConfig, ""))


def _options() -> str:
    from geodiff_sar.workflows.train import TrainConfig

    return "\n".join(_keys(TrainConfig, ""))


def _keys(model: type[BaseModel], prefix: str) -> list[str]:
    lines = []
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            lines += _keys(kind, f"{prefix}{key}.")
        else:
            default = field.get_default(call_default_factory=True)  # pyright: ignore
            lines.append(f"{prefix}{key} = {default!r}  {field.description or ''}{_range(field)}")
    return lines


def _range(field: FieldInfo) -> str:
    """Bounds and choices of a field, in brackets; nothing where there are none."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{signs[k]} {getattr(rule, k)}" for rule in field.metadata for k in signs if hasattr(rule, k)]
    choices = [choice for part in (field.annotation, *get_args(field.annotation)) for choice in _choices(part)]
    rules = [", ".join(bounds), ", ".join(repr(choice) for choice in choices)]
    found = "; ".join(rule for rule in rules if rule)
    return f"  [{found}]" if found else ""


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()
