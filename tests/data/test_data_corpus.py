import json

import numpy as np
import pytest
import torch

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.blocks import BLOCK, BlockStore
from geodiff_sar.data.corpus import CorpusOptions, draw_corpus, make_corpus, open_corpus

SMALL = CorpusOptions(count=10, shard=4, size=32, seed=3)


def test_shards_do_not_depend_on_workers_or_order(tmp_path):
    one = make_corpus(SMALL, tmp_path / "a", workers=1)
    assert (len(one), [len(shard) for shard in one.chips]) == (10, [4, 4, 2])
    (tmp_path / "b").mkdir()
    make_corpus(SMALL, tmp_path / "b", workers=2)
    for name in ("shard-001", "shard-000"):
        for file in (tmp_path / "b" / name).iterdir():
            file.unlink()
        (tmp_path / "b" / name).rmdir()
        made = make_corpus(SMALL, tmp_path / "b", workers=2)
    assert all(np.array_equal(one[i], made[i]) for i in range(10))
    assert one.captions == made.captions


def test_chips_show_what_their_captions_say(tmp_path):
    corpus = make_corpus(SMALL, tmp_path, workers=2)
    draws = [draw for shard in range(3) for draw in draw_corpus(SMALL, shard)]
    assert corpus.captions == [caption for draw in draws for caption in draw.captions()]
    rows = json.loads((tmp_path / "shard-000" / "draws.json").read_text())["chips"]
    assert [row["target"] for row in rows[::2]] == [draw.target for draw in draws[:2]]
    assert all(chip.any() for shard in corpus.chips for chip in shard)


def test_draws_cover_what_the_options_promise():
    options = CorpusOptions(count=4000, shard=2000, seed=5, members=7, first_member=100)
    draws = [draw for shard in range(2) for draw in draw_corpus(options, shard)]
    labels = [draw.label for draw in draws]
    assert len(set(labels)) == 8
    share = sum(label in ("tank", "carrier", "truck") for label in labels) / len(labels)
    assert share == pytest.approx(0.4, abs=0.04)
    members = {int(draw.target.split(":")[1]) for draw in draws if ":" in draw.target}
    assert members == set(range(100, 107))
    azimuths = np.array([draw.pose.azimuth_deg for draw in draws])
    assert np.histogram(azimuths, 12, (0, 360))[0].min() > 100
    assert {draw.radar.band for draw in draws} == {"Ku", "X"}
    assert {name for draw in draws for name in draw.polarisations} == {"HH", "HV", "VH", "VV"}
    assert all(len(set(draw.polarisations)) == 2 for draw in draws)


def test_a_folder_keeps_one_corpus_and_tells_damage(tmp_path):
    make_corpus(SMALL, tmp_path, workers=1)
    with pytest.raises(DataError, match="another corpus"):
        make_corpus(SMALL.model_copy(update={"seed": 4}), tmp_path)
    (tmp_path / "shard-002" / "chips.npy").write_bytes(b"no array")
    with pytest.raises(FileError, match="shard-002"):
        open_corpus(tmp_path)


def test_blocks_are_computed_once_and_read_in_any_order(tmp_path):
    count, calls = BLOCK + 3, []

    def compute(items: range) -> np.ndarray:
        calls.append(items)
        return np.arange(items.start, items.stop)[:, None] * np.ones(2) / 8

    store = BlockStore(tmp_path, count)
    store.fill(compute, "filling")
    again = BlockStore(tmp_path, count)
    again.fill(compute, "filling")
    assert calls == [range(BLOCK), range(BLOCK, count)]
    assert torch.equal(again[[count - 1, 0, 8]], torch.tensor([[(count - 1) / 8] * 2, [0.0, 0.0], [1.0, 1.0]]))
