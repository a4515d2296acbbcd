"""From the command line of ``prior``, ``chip-priors`` and ``simulate`` to checked requests."""

from typing import Any, TypeVar

from geodiff_sar.core.config import apply_overrides, load_options, parse_options, read_settings
from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.mesh_prepare import MeshOptions
from geodiff_sar.geometry.prior import PriorOptions
from geodiff_sar.workflows.chip_prior_plan import ChipPriorConfig, with_meshes
from geodiff_sar.workflows.chip_priors import ChipPriorRequest
from geodiff_sar.workflows.prior import PriorRequest
from geodiff_sar.workflows.simulate import SimulateRequest
from geodiff_sar.workflows.tracing import TraceConfig

NumberT = TypeVar("NumberT", int, float)


def prior_request(settings: dict[str, Any]) -> PriorRequest:
    """The request of ``geodiff-sar prior``; ``settings`` are the command's arguments by name."""
    scale = _numbers("--scale", settings["scale"], float)
    if len(scale) != 3:
        raise OptionError("--scale", repr(settings["scale"]), "three factors: nose, port, up", "write it as 1,1,1")
    mesh = {
        "unit": settings["unit"],
        "nose": settings["nose"],
        "up": settings["up"],
        "scale": scale,
        "drop": settings["drop"] or [],
        "add": settings["add"] or [],
        "smooth_angle_deg": settings["smooth_angle"],
    }
    parse_options(MeshOptions, mesh, "geodiff-sar prior, options of the mesh file")
    data = {
        "targets": [{"source": settings["target"], "label": settings["label"], "mesh": mesh}],
        "azimuths": settings["azimuths"],
        "depressions": _numbers("--depression", settings["depression"], float),
        "polarisations": _names("--polarisations", settings["polarisations"]),
        "seeds": [settings["seed"]],
        "radar": settings["radar"],
        "radar_set": settings["radar_set"] or [],
        "prior": parse_options(PriorOptions, apply_overrides({}, settings["overrides"] or []), "--set"),
    }
    config = parse_options(TraceConfig, data, "geodiff-sar prior")
    return PriorRequest(
        config,
        settings["out"],
        tuple(_names("--format", settings["format_"])),
        settings["workers"],
        settings["overwrite"],
    )


def simulate_request(settings: dict[str, Any]) -> SimulateRequest:
    """The request of ``geodiff-sar simulate``: the configuration file, then the options, then ``--set``."""
    data, source = read_settings(settings["config"]) if settings["config"] is not None else ({}, "")
    if settings["target"]:
        data["targets"] = [{"source": source} for source in settings["target"]]
    given = {
        "azimuths": settings["azimuths"],
        "depressions": _optional("--depressions", settings["depressions"], float),
        "polarisations": (
            None if settings["polarisations"] is None else _names("--polarisations", settings["polarisations"])
        ),
        "seeds": _optional("--seeds", settings["seeds"], int),
        "radar": settings["radar"],
        "radar_set": settings["radar_set"],
    }
    data.update({key: value for key, value in given.items() if value is not None})
    data = apply_overrides(data, settings["overrides"] or [])
    config = parse_options(
        TraceConfig, data, f"{source} with geodiff-sar simulate" if source else "geodiff-sar simulate"
    )
    return SimulateRequest(config, settings["out"], settings["workers"], settings["overwrite"])


def chip_prior_request(settings: dict[str, Any]) -> ChipPriorRequest:
    """The request of ``geodiff-sar chip-priors``: the configuration file, then ``--set``, then ``--align``."""
    config = load_options(ChipPriorConfig, settings["config"], settings["overrides"] or [])
    if settings["align"] is not None:
        data = {**config.model_dump(), "align": settings["align"] or None}
        config = parse_options(ChipPriorConfig, data, "--align")
    if settings["meshes"] is not None and not settings["meshes"].is_dir():
        raise OptionError("--meshes", f"{settings['meshes']} is no folder", "a folder of mesh files", "check the path")
    return ChipPriorRequest(
        settings["chips"],
        with_meshes(config, settings["meshes"]),
        settings["out"],
        settings["layout"],
        settings["workers"],
        settings["overwrite"],
    )


def _names(option: str, text: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise OptionError(option, repr(text), "names separated by commas", "write it as a or a,b")
    return names


def _optional(option: str, text: str | None, kind: type[NumberT]) -> list[NumberT] | None:
    return None if text is None else _numbers(option, text, kind)


def _numbers(option: str, text: str, kind: type[NumberT]) -> list[NumberT]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise OptionError(option, repr(text), f"{what}, separated by commas", "write it as 1,2,3") from None
    return numbers
