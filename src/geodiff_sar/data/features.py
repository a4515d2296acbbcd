"""Point-cloud features on disk: the published ``.pt`` and ``.npy``, ``.npz``, and our ``.safetensors``.

torch is loaded where a format needs it, so that writing our own format starts quickly.
"""

import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_safetensors

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import atomic_path, atomic_write_bytes, require_file
from geodiff_sar.core.types import GeometryPrior, Pose, RadarParams

T = TypeVar("T")

SUFFIXES = (".safetensors", ".pt", ".npy", ".npz")
"""Order in which a sample's feature file is looked for."""


def load_features(path: Path, expected_width: int | None = 64, maps: bool = True) -> GeometryPrior:
    """Read a feature file of any of the four formats.

    Args:
        path: the file.
        expected_width: required width D of the features; None accepts any.
        maps: False leaves the maps in the file.

    Raises:
        FileError: missing, empty, truncated, of another format, or holding a pickle (never executed).
        DataError: wrong shape or width, NaN or Inf.
    """
    require_file(path, "point features", "check the path, or extract the features again")
    readers = {".safetensors": _read_safetensors, ".pt": _read_pt, ".npy": _read_npy, ".npz": _read_npz}
    if path.suffix not in readers:
        raise FileError(path, f"has the ending {path.suffix!r}", f"one of {', '.join(SUFFIXES)}", "convert the file")
    try:
        arrays, extra = readers[path.suffix](path)
    except pickle.UnpicklingError as error:
        raise FileError(
            path, "is damaged, or holds a pickle, which is never executed", "tensors and plain values only", _SAVE
        ) from error
    except (OSError, EOFError, ValueError, RuntimeError, KeyError, zipfile.BadZipFile, SafetensorError) as error:
        if isinstance(error, FileError | DataError):
            raise
        if "pickle" in str(error).lower():
            raise FileError(
                path, "is damaged, or holds a pickle, which is never executed", "tensors and plain values only", _SAVE
            ) from error
        raise FileError(
            path, f"cannot be read; truncated or damaged ({_reason(error)})", f"an intact {path.suffix} file", _AGAIN
        ) from error
    features = _float32(path, "features", arrays["features"])
    if features.ndim == 1:
        features = features[None]
    if features.ndim != 2 or features.shape[0] == 0:
        raise DataError(path, f"features of shape {features.shape}", "shape (N, D) with N >= 1", _AGAIN)
    if expected_width is not None and features.shape[1] != expected_width:
        raise DataError(
            path,
            f"features of width {features.shape[1]}",
            f"width {expected_width} (pointcloud_dim)",
            "set data.pointcloud_dim to the width of the files, or extract the features again",
        )
    coordinates = arrays.get("coordinates")
    layers = arrays.get("maps") if maps else None
    return GeometryPrior(
        features,
        None if coordinates is None else _float32(path, "coordinates", coordinates),
        None if layers is None else _float32(path, "maps", layers),
        pose=_made(path, "pose", Pose, extra.get("pose")),
        radar=_made(path, "radar", RadarParams, extra.get("radar")),
        provenance={**_table(path, "provenance", extra.get("provenance")), "file": str(path)},
    )


def save_features(path: Path, prior: GeometryPrior, more: Mapping[str, np.ndarray] | None = None) -> None:
    """Write a prior in the format that the file's ending names, by atomic rename.

    ``.pt`` is the published dict (features, coordinates, text_label, metadata); ``.npy`` holds the features alone.

    Args:
        path: the file.
        prior: what to write.
        more: further tensors for ``.safetensors``, such as the whole cloud; the other formats have no place for them.
    """
    if path.suffix == ".safetensors":
        arrays = {k: getattr(prior, k) for k in ("features", "coordinates", "maps") if getattr(prior, k) is not None}
        arrays.update(more or {})
        header = {
            "pose": asdict(prior.pose) if prior.pose else None,
            "radar": asdict(prior.radar) if prior.radar else None,
            "provenance": prior.provenance,
        }
        arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        atomic_write_bytes(path, save_safetensors(arrays, {"geodiff_sar": json.dumps(header)}))
        return
    if path.suffix not in SUFFIXES:
        raise FileError(path, f"has the ending {path.suffix!r}", f"one of {', '.join(SUFFIXES)}", "choose one of these")
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            if path.suffix == ".npy":
                np.save(file, prior.features, allow_pickle=False)
            elif path.suffix == ".npz":
                arrays = {k: getattr(prior, k) for k in ("features", "coordinates") if getattr(prior, k) is not None}
                np.savez(file, **arrays)
            else:
                import torch

                content: dict[str, Any] = {"features": torch.from_numpy(prior.features.copy())}
                if prior.coordinates is not None:
                    content["coordinates"] = torch.from_numpy(prior.coordinates.copy())
                content["text_label"] = str(prior.provenance.get("text_label", ""))
                content["metadata"] = {"azimuth_angle": prior.pose.azimuth_deg} if prior.pose else {}
                torch.save(content, file)


def feature_header(path: Path) -> dict[str, Any]:
    """Pose, radar and provenance in the header of a ``.safetensors`` file, without reading its tensors.

    Raises:
        FileError: missing, damaged, or without such a header.
    """
    require_file(path, "point features", "check the path, or extract the features again")
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get("geodiff_sar", "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise FileError(
            path, f"cannot be read; truncated or damaged ({_reason(error)})", "an intact .safetensors file", _AGAIN
        ) from error
    if not isinstance(header, dict) or not isinstance(header.get("provenance"), dict):
        raise FileError(path, "does not say where it came from", "a file that this tool wrote", _AGAIN)
    return header


def find_features(folder: Path, sample_id: str) -> Path | None:
    """Feature file of a sample in ``folder``, or None.

    Endings are tried in the order of SUFFIXES; an ``.npz`` that holds image latents only, as published beside the
    features, is not a feature file and is passed over.
    """
    for suffix in SUFFIXES:
        path = folder / f"{sample_id}{suffix}"
        if path.is_file() and not (suffix == ".npz" and _holds_latents_only(path)):
            return path
    return None


def _holds_latents_only(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False  # a damaged file is reported when it is read
    return bool(names) and all(
        name.startswith(("latents", "original_size", "crop_ltrb", "alpha_mask")) for name in names
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        arrays = {key: _numpy(path, file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
        extra = _table(path, "geodiff_sar", json.loads((file.metadata() or {}).get("geodiff_sar", "{}")))
    if "features" not in arrays:
        raise FileError(path, f"holds {sorted(arrays)}", "a tensor named 'features'", _AGAIN)
    return arrays, extra


def _read_pt(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import torch

    with warnings.catch_warnings():  # torch's remarks on odd files; what is wrong with them is said below
        warnings.simplefilter("ignore", UserWarning)
        content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        return {"features": _numpy(path, content)}, {}
    if not isinstance(content, dict):
        raise FileError(path, f"holds a {type(content).__name__}", "a tensor or a dict with 'features'", _SAVE)
    key = next((k for k in ("features", "pointcloud") if k in content), None)
    if key is None:
        raise FileError(path, f"holds a dict with {sorted(map(str, content))}", "a key 'features'", _SAVE)
    arrays = {"features": _numpy(path, content[key])}
    if content.get("coordinates") is not None:
        arrays["coordinates"] = _numpy(path, content["coordinates"])
    metadata = _table(path, "metadata", content.get("metadata"))
    known = {str(k): v for k, v in metadata.items() if isinstance(v, str | int | float | list)}
    label = {"text_label": content["text_label"]} if isinstance(content.get("text_label"), str) else {}
    return arrays, {"provenance": {**known, **label}}


def _read_npy(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"features": np.load(path, allow_pickle=False)}, {}


def _read_npz(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    foreign = sorted(key for key, value in arrays.items() if not isinstance(value, np.ndarray))
    if foreign:
        raise FileError(path, f"holds {foreign}, which are no arrays", "arrays only", _AGAIN)
    for key in ("features", "pointcloud"):
        if key in arrays:
            return {"features": arrays[key], "coordinates": arrays.get("coordinates")}, {}
    flat = [key for key, value in arrays.items() if value.ndim == 2]
    if len(flat) == 1:
        return {"features": arrays[flat[0]]}, {}
    raise FileError(path, f"holds {sorted(arrays)}", "an array named 'features'", _AGAIN)


def _numpy(path: Path, value: Any) -> np.ndarray:
    import torch

    if not isinstance(value, torch.Tensor):
        raise FileError(path, f"holds a {type(value).__name__} in place of a tensor", "tensors", _SAVE)
    if value.layout != torch.strided:
        raise FileError(path, f"holds a tensor of layout {value.layout}", "dense tensors", _SAVE)
    return (value.float() if value.is_floating_point() else value).detach().numpy()


def _float32(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise DataError(path, f"'{name}' has the type {array.dtype}", "real numbers", _AGAIN)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.ascontiguousarray(array, dtype=np.float32)


def _table(path: Path, name: str, value: Any) -> dict[Any, Any]:
    if value is not None and not isinstance(value, dict):
        raise FileError(path, f"'{name}' is a {type(value).__name__}", f"'{name}' is a table of named values", _AGAIN)
    return value or {}


def _made(path: Path, name: str, kind: Callable[..., T], value: Any) -> T | None:
    """An object of ``kind`` from a table in the file's header; None where the header has none."""
    if value is None:
        return None
    try:
        return kind(**_table(path, name, value))
    except TypeError as error:
        raise FileError(
            path, f"'{name}' is {value} ({error})", f"the fields of {name}, with numbers", _AGAIN
        ) from error
    except OptionError as error:
        raise DataError(path, f"{error.subject} is {error.found}", error.rule, error.remedy) from error


def _reason(error: Exception) -> str:
    """First line of a library's message, at most 120 characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


_AGAIN = "extract the features again, or copy the file again"
_SAVE = "save it as a tensor, or as a dict of tensors and plain values, with torch.save; or use .safetensors"
