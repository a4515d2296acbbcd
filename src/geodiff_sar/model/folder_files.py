"""Which files of a folder in diffusers' layout hold the weights of a part: those that ``from_pretrained`` reads."""

from pathlib import Path

from geodiff_sar.core.errors import FileError, listed
from geodiff_sar.core.files import read_json
from geodiff_sar.model.base_parts import CLASSES


def weight_files(folder: Path, part: str) -> list[Path]:
    """Weight files of one part in the order of their names: the shards of its index, or the file of the default name.

    Files beside them, such as ``model.fp16.safetensors``, are not read.

    Raises:
        FileError: there is none, an index that cannot be used, or a shard that is missing.
    """
    from_diffusers = CLASSES[part].__module__.startswith("diffusers")
    default = folder / part / f"{'diffusion_pytorch_model' if from_diffusers else 'model'}.safetensors"
    index = default.with_name(default.name + ".index.json")
    if index.is_file() and (from_diffusers or not default.is_file()):  # as each library does where there are both
        return _shards(index)
    if default.is_file():
        return [default]
    raise _none(default, part)


def ignored_files(folder: Path, part: str) -> list[str]:
    """Names of .safetensors files of a part that are not read; errors as weight_files."""
    return sorted({file.name for file in _held(folder / part)} - {file.name for file in weight_files(folder, part)})


def _held(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _shards(index: Path) -> list[Path]:
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise FileError(
            index, "has no 'weight_map' of tensors and files", "an index names the file of every tensor", _COPY
        )
    files = [index.parent / name for name in sorted(set(places.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileError(index, f"names files that are missing: {listed(missing)}", "all of its files are there", _COPY)
    return files


def _none(default: Path, part: str) -> FileError:
    folder = default.parent
    wanted = f"a base holds the weights of '{part}' in {default.name}, or in shards with its index"
    held = [file.name for file in _held(folder)]
    pickles = sorted(file.name for file in folder.glob("*.bin"))
    if held:
        found = f"holds no {default.name} and no {default.name}.index.json, but {listed(held)}"
        remedy = (
            f"rename a single file to {default.name}; for shards copy their index too, as {default.name}.index.json"
        )
        return FileError(folder, found, wanted, remedy)
    if pickles:
        found = (
            f"holds no .safetensors file, but {listed(pickles)}: a pickle may run code when it is read; it was not read"
        )
        remedy = (
            "save the model again with save_pretrained(..., safe_serialization=True), or copy its .safetensors files"
        )
        return FileError(folder, found, f"{wanted}; .bin is never read", remedy)
    return FileError(folder, "holds no .safetensors file", wanted, _COPY)


_COPY = "copy the folder again, with all of its files"
