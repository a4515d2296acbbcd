"""The chips that a base is trained on: a corpus of the ray tracer, or a folder of the user's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_bytes, sha256_json
from geodiff_sar.data.buckets import fit_to_bucket
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.corpus import CORPUS_VERSION, make_corpus
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.geometry.prior import ENGINE_VERSION
from geodiff_sar.training.pretrain.options import PretrainOptions


class ModelValues(Sequence[Float[np.ndarray, "height width"]]):
    """Chips as model values in [-1, 1], each computed when it is asked for.

    Args:
        count: number of chips.
        amplitude: amplitude or grey levels of a chip.
        remap: amplitude to model values.
    """

    def __init__(self, count: int, amplitude: Callable[[int], np.ndarray], remap: AmplitudeRemap):
        self._count, self._amplitude, self._remap = count, amplitude, remap
        self._table = remap.to_model(np.arange(256, dtype=np.float32))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        grey = self._amplitude(index)
        return self._table[grey] if grey.dtype == np.uint8 else self._remap.to_model(grey)


@dataclass(frozen=True)
class TrainingChips:
    """What all stages train on.

    Attributes:
        values: model values of each chip.
        captions: what each shows.
        ids: names for messages.
        key: hash of everything that ``values`` and ``captions`` depend on.
    """

    values: ModelValues
    captions: list[Caption]
    ids: list[str]
    key: str


def load_chips(options: PretrainOptions, work: Path) -> TrainingChips:
    """The chips of the options; the corpus is made where it is missing.

    Raises:
        GeodiffError: as the readers and the corpus.
    """
    return _corpus(options, work) if options.data_root is None else _folder(options, Path(options.data_root))


def _corpus(options: PretrainOptions, work: Path) -> TrainingChips:
    size = options.corpus.size
    if options.resolution != (size, size):
        raise OptionError("corpus.size", str(size), f"the native size, {options.resolution}", "make both equal")
    folder = work / "corpus" if options.corpus_folder is None else Path(options.corpus_folder)
    corpus = make_corpus(options.corpus, folder)
    key = sha256_json([options.corpus.model_dump(mode="json"), CORPUS_VERSION, ENGINE_VERSION, options.remap.record()])
    ids = [f"corpus-{number}" for number in range(len(corpus))]
    return TrainingChips(ModelValues(len(corpus), corpus.__getitem__, options.remap), corpus.captions, ids, key)


def _folder(options: PretrainOptions, root: Path) -> TrainingChips:
    width, height = options.resolution
    samples = read_samples(root, options.layout)
    amplitudes = [fit_to_bucket(load_in_frame(sample.image_path, sample.grid), width, height)[0] for sample in samples]
    captions = [sample.caption for sample in samples]
    parts = [sha256_json([[str(caption) for caption in captions], options.remap.record()]).encode()]
    key = sha256_bytes(*parts, *(amplitude.tobytes() for amplitude in amplitudes))
    values = ModelValues(len(samples), amplitudes.__getitem__, options.remap)
    return TrainingChips(values, captions, [sample.id for sample in samples], key)
