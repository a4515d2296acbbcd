"""Text encoders that are in memory only while there are captions to encode."""

import gc
import shutil
import weakref

import pytest
import torch

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.base import load_base

CAPTIONS = ["SAR image,A,Ku-band,High,HH-Polarization,0.0", "SAR image,B,Ku-band,High,VV-Polarization,30.0", ""]


def test_what_is_kept_is_what_the_encoders_say(tiny_base):
    base = load_base(str(tiny_base))
    expected = [base.text.encode([caption]) for caption in CAPTIONS]
    base.text.remember(CAPTIONS)
    base.text.release()
    for caption, (context, pooled) in zip(CAPTIONS, expected, strict=True):
        kept = base.text.encode([caption])
        assert torch.equal(kept[0], context)
        assert torch.equal(kept[1], pooled)
    both = base.text.encode(CAPTIONS)
    assert torch.equal(both[0], torch.cat([context for context, _ in expected]))
    assert base.text._encoders is None


def test_released_encoders_are_gone_and_come_back(tiny_base):
    base = load_base(str(tiny_base))
    before = base.text.encode(CAPTIONS[:1])
    gone = weakref.ref(base.text.encoders.t5)
    base.text.release()
    gc.collect()
    assert gone() is None
    assert torch.equal(base.text.encode(CAPTIONS[:1])[0], before[0])


def test_another_number_of_t5_tokens_forgets_what_is_kept(tiny_base):
    base = load_base(str(tiny_base))
    base.text.remember(CAPTIONS[:1])
    length = base.text.encode(CAPTIONS[:1])[0].shape[1]
    base.text.t5_length -= 4
    assert base.text.encode(CAPTIONS[:1])[0].shape[1] == length - 4
    base.text.release()
    assert base.text.encode(CAPTIONS[:1])[0].shape[1] == length - 4
    assert sum(base.text.token_lengths[1:]) == length - 4


def test_nothing_but_the_vae_is_loaded_with_a_base(tiny_base, monkeypatch):
    from geodiff_sar.model import folder_base as module

    loaded = []
    load = module.load_part
    monkeypatch.setattr(
        module, "load_part", lambda folder, part, dtype: loaded.append(part) or load(folder, part, dtype)
    )
    base = load_base(str(tiny_base))
    assert loaded == ["vae"]
    assert base.largest_side > 0
    base.text.remember(CAPTIONS)
    assert loaded == ["vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
    base.text.release()
    base.text.encode(CAPTIONS)
    assert base.transformer is base.transformer
    assert loaded[4:] == ["transformer"]


def test_damage_is_found_before_anything_is_loaded(tiny_base, tmp_path):
    broken = shutil.copytree(tiny_base, tmp_path / "broken", ignore=shutil.ignore_patterns("work"))
    (weights,) = (broken / "transformer").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(FileError, match="transformer"):
        load_base(str(broken))
