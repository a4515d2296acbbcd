import numpy as np
import pytest
import torch
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.cache import TensorCache, latent_key, text_key
from geodiff_sar.data.dataset import ChipDataset, DataOptions
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.reference_cache import read_reference_latents, reference_cache_path, write_reference_latents
from geodiff_sar.data.remap import AmplitudeRemap
from support import write_chips_root


class FourFold:
    """A stand-in VAE: mean over 8 x 8 pixels in 16 channels."""

    model_hash, grain, reduction, scale, shift, dtype = "vae", 8, 8, 2.0, 0.5, "float32"

    def __init__(self):
        self.calls = 0

    def encode(self, pixels):
        self.calls += 1
        mean = torch.nn.functional.avg_pool2d(pixels, 8).expand(-1, 16, -1, -1)
        return mean, torch.full_like(mean, 0.1)


class Words:
    """A stand-in text encoder: the caption's bytes."""

    model_hash, dtype, token_lengths = "text", "float32", (4, 4, 4)

    def __init__(self):
        self.calls = 0

    def encode(self, captions):
        self.calls += 1
        rows = torch.tensor([[float(sum(c.encode()))] for c in captions])
        return rows[:, None].expand(-1, 5, 8).clone(), rows.expand(-1, 6).clone()


def dataset_of(root, folder=None, **options):
    settings = {"buckets": {"min_bucket_reso": 16, "bucket_reso_steps": 8}, **options}
    data = DataOptions.model_validate(settings)
    made = ChipDataset(read_samples(root), data, AmplitudeRemap(), (32, 32), FourFold(), Words(), folder)
    made.prepare()
    return made


def test_plan_covers_every_chip_once_and_depends_on_seed_and_epoch(chips_root):
    data = dataset_of(chips_root)
    plan = data.batch_plan(4, 1, 0)
    assert sorted(k for batch in plan for k in batch) == list(range(10))
    assert plan == data.batch_plan(4, 1, 0)
    assert plan != data.batch_plan(4, 1, 1)
    assert plan != data.batch_plan(4, 2, 0)
    for batch in plan:
        assert len({data._buckets[data.samples[k].id] for k in batch}) == 1


def test_collate_is_deterministic_and_pads(chips_root):
    data = dataset_of(chips_root, captions={"dropout_rate": 0.5, "shuffle": True})
    for indices in data.batch_plan(4, 1, 0):
        one, two = data.collate(indices, 3, 1), data.collate(indices, 3, 1)
        assert one.captions == two.captions
        assert torch.equal(one.condition.pooled, two.condition.pooled)
        for row, k in enumerate(indices):
            prior = data.priors.clouds[data.samples[k].id]
            assert int(one.condition.point_mask[row].sum()) == prior.num_points
            assert np.array_equal(one.condition.features[row, : prior.num_points].numpy(), prior.features)


def test_reference_is_never_the_chip_itself(chips_root, tmp_path):
    data = dataset_of(chips_root)
    for sample, reference in zip(data.samples, data.references, strict=True):
        assert reference is not None
        assert reference.id != sample.id
        assert reference.caption.target == sample.caption.target
    write_chips_root(tmp_path, count=4)
    folder = tmp_path / "train/data/train/aircraft"
    (folder / "3.png").write_bytes((folder / "1.png").read_bytes())  # a copy under another name
    copied = dataset_of(tmp_path)
    assert [r.id if r else None for r in copied.references] == [None, "4", None, "2"]


def test_reference_is_the_nearest_other_azimuth(chips_root):
    data = dataset_of(chips_root)
    by_id = {s.id: (s, r) for s, r in zip(data.samples, data.references, strict=True)}
    sample, reference = by_id["1"]  # azimuth 0; target A has 0, 72, 144, 216, 288
    assert reference is not None
    assert reference.pose is not None
    assert reference.pose.azimuth_deg in (72.0, 288.0)
    batch = data.collate([data.samples.index(sample)], 0, 0)
    assert bool(batch.condition.has_image.all())
    assert batch.condition.reference.shape == batch.mean.shape


def test_image_condition_none_and_self(chips_root, capsys):
    assert not dataset_of(chips_root, image_condition="none").collate([0], 0, 0).condition.has_image.any()
    same = dataset_of(chips_root, image_condition="self")
    assert "shows the model the chip" in capsys.readouterr().err
    batch = same.collate([0], 0, 0)
    assert torch.equal(batch.condition.reference, batch.mean)


def test_caches_are_used_and_keyed_by_content(chips_root, tmp_path):
    first = dataset_of(chips_root, tmp_path / "cache")
    second = dataset_of(chips_root, tmp_path / "cache")
    assert first.chips.calls > 0
    assert second.chips.calls == 0
    assert second.texts.calls == 0
    assert torch.equal(first.collate([2], 0, 0).mean, second.collate([2], 0, 0).mean)
    keys = {
        latent_key("a", "m", "float32", 32, 32, {"peak": 1}),
        latent_key("b", "m", "float32", 32, 32, {"peak": 1}),
        latent_key("a", "n", "float32", 32, 32, {"peak": 1}),
        latent_key("a", "m", "bfloat16", 32, 32, {"peak": 1}),
        latent_key("a", "m", "float32", 32, 64, {"peak": 1}),
        latent_key("a", "m", "float32", 32, 32, {"peak": 2}),
        text_key("a", "m", "float32", (1, 2)),
        text_key("a", "m", "float32", (1, 3)),
    }
    assert len(keys) == 8


def test_damaged_cache_entry_is_computed_again(tmp_path, capsys):
    cache = TensorCache(tmp_path)
    cache.put("abc", {"x": torch.ones(3)})
    file = next(tmp_path.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:20])
    again = TensorCache(tmp_path).get_or_compute("abc", lambda: {"x": torch.zeros(3)})
    assert torch.equal(again["x"], torch.zeros(3))
    assert "damaged" in capsys.readouterr().err


def test_published_latent_cache_round_trip(tmp_path, chips_root):
    image = tmp_path / "1.png"
    latents = np.random.default_rng(0).standard_normal((16, 4, 3)).astype(np.float32)
    path = write_reference_latents(image, latents, (194, 282), (14, 0, 206, 320))
    assert path.name == "1_0194x0282_sd3.npz"
    write_reference_latents(image, latents[:, :2], (194, 282), (0, 0, 1, 1))
    assert np.array_equal(read_reference_latents(path, (4, 3)), latents)
    with np.load(path) as archive:
        assert archive["original_size_4x3"].tolist() == [194, 282]
        assert archive["crop_ltrb_4x3"].tolist() == [14, 0, 206, 320]
        assert "latents_2x3" in archive.files
    assert read_reference_latents(path, (9, 9)) is None
    np.savez(tmp_path / "zero.npz", latents_4x3=np.zeros((16, 4, 3), np.float32))
    with pytest.raises(DataError, match="all latents are zero"):
        read_reference_latents(tmp_path / "zero.npz", (4, 3))


def test_published_latent_cache_is_read_and_written_on_request(tmp_path):
    write_chips_root(tmp_path, count=2)
    made = dataset_of(tmp_path, cache={"write_reference": True})
    image = made.samples[0].image_path
    with Image.open(image) as picture:
        path = reference_cache_path(image, picture.size)
    assert path.is_file()
    read = dataset_of(tmp_path, cache={"read_reference": True})
    assert read.chips.calls == 0
    batch, original = read.collate([0], 0, 0), made.collate([0], 0, 0)
    assert float(batch.std.abs().max()) == 0.0
    assert float((batch.mean - original.mean).abs().max()) < 0.6  # a sample: mean plus 0.1 times noise


def test_missing_geometry(tmp_path):
    write_chips_root(tmp_path, count=4)
    (tmp_path / "3d_features/2.pt").unlink()
    with pytest.raises(FileError, match="3D feature file not found"):
        dataset_of(tmp_path)
    data = dataset_of(tmp_path, allow_missing_geometry=True)
    assert data.priors.missing == ["2"]
    flags = [bool(data.collate([k], 0, 0).condition.has_geometry) for k in range(4)]
    assert flags == [True, False, True, True]


def test_statistics_standardise(chips_root):
    data = dataset_of(chips_root)
    mean, std = data.priors.statistics()
    rows = torch.cat([torch.from_numpy(p.features) for p in data.priors.clouds.values()])
    scaled = (rows - mean) / std
    assert float(scaled.mean(0).abs().max()) < 1e-5
    assert torch.allclose(scaled.std(0, correction=0), torch.ones(64), atol=1e-4)


def test_a_repeated_chip_is_augmented_anew_each_time(chips_root):
    data = dataset_of(chips_root, captions={"dropout_rate": 0.0, "shuffle": True})
    seen = {data.collate([3], 0, 1, number).captions[0] for number in range(12)}
    assert len(seen) > 3
    assert len({data.collate([3], 0, 1, 5).captions[0] for _ in range(3)}) == 1


def test_published_latents_and_our_own_never_stand_in_for_each_other(chips_root, tmp_path):
    chip = read_samples(chips_root)[0]
    own = dataset_of(chips_root, tmp_path)
    mean, _ = own.latents.get(own.samples[0], own._buckets[chip.id])
    with Image.open(chip.image_path) as picture:
        size = picture.size
    published = reference_cache_path(chip.image_path, size)
    raw = np.full(tuple(mean.shape), 3.0, dtype=np.float32)
    write_reference_latents(chip.image_path, raw, size, (0, 0, *size))
    try:
        theirs = dataset_of(chips_root, tmp_path, cache={"read_reference": True})
        read, spread = theirs.latents.get(theirs.samples[0], theirs._buckets[chip.id])
        assert torch.allclose(read, torch.full_like(read, (3.0 - 0.5) * 2.0))
        assert not spread.any()
        again = dataset_of(chips_root, tmp_path)
        assert torch.equal(again.latents.get(again.samples[0], again._buckets[chip.id])[0], mean)
    finally:
        published.unlink()


def test_published_cache_is_written_on_a_cache_hit_too(tmp_path):
    write_chips_root(tmp_path / "data", count=2)
    dataset_of(tmp_path / "data", tmp_path / "cache")
    assert not list((tmp_path / "data").rglob("*_sd3.npz"))
    dataset_of(tmp_path / "data", tmp_path / "cache", cache={"write_reference": True})
    assert len(list((tmp_path / "data").rglob("*_sd3.npz"))) == 2
