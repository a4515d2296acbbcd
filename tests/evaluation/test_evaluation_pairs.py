"""Partners, registration and the paired metrics, against scikit-image and torchmetrics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchvision.models import alexnet

from evaluation_support import make_chips, make_comparison
from geodiff_sar.core.errors import FileError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import find_partners, registered_pairs
from geodiff_sar.evaluation.pairs_similarity import SCALE_WEIGHTS, ms_ssim, ncc, psnr, scales_for, ssim
from geodiff_sar.evaluation.registration import apply_shift, find_shift

SIMILARITIES = ("ssim", "ms_ssim", "psnr", "ncc")


def band_limited(size: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth positive picture."""
    noise = np.random.default_rng([seed, 3]).normal(0, 1, (size, size))
    return (10.0 + 30.0 * ndimage.gaussian_filter(noise, 2.0, mode="wrap")).clip(0).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -3.0), (1.35, 0.6), (-2.25, 3.7)])
def test_registration_recovers_a_shift(shift):
    chip = band_limited()
    moved = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(chip), (-shift[0], -shift[1]))).real.clip(0)
    found = find_shift(chip, moved.astype(np.float32), 4.0)
    assert found == pytest.approx(shift, abs=0.06)
    back = apply_shift(moved.astype(np.float32), found)
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(back - chip)[inner].max() < 0.6
    assert np.abs(back - chip)[inner].mean() < 0.1


def test_no_shift_beyond_the_limit_nor_of_nothing():
    chip = band_limited()
    assert find_shift(chip, np.roll(chip, 9, axis=0), 4.0) is None
    assert find_shift(chip, np.zeros_like(chip), 4.0) is None


def labelled(azimuths, targets, name, depression=17.0, seed=0) -> ChipSet:
    chips = make_chips(len(azimuths), seed, name, size=32, azimuth_deg=np.array(azimuths, dtype=float))
    return replace(chips, target=tuple(targets), depression_deg=np.full(len(azimuths), depression))


def test_partners_have_the_same_aspect():
    gallery = labelled([10.0, 10.8, 359.8, 100.0, np.nan], ["A", "A", "A", "B", "A"], "gallery")
    chips = labelled([10.5, 0.3, 100.0, 101.5, np.nan, 12.0], ["A", "A", "A", "B", "A", "A"], "mine", seed=9)
    found = find_partners(chips, gallery)
    assert list(zip(found.candidate.tolist(), found.partner.tolist(), strict=True)) == [(0, 1), (1, 2)]
    np.testing.assert_allclose(found.distance_deg, [0.3, 0.5], atol=1e-9)
    assert found.without == 4
    assert "4 chips without partner" in found.note
    assert len(find_partners(chips, gallery, tolerance_deg=2.0)) == 4


def test_partners_have_the_same_polarisation_and_depression_and_are_not_the_chip_itself():
    gallery = labelled([10.0, 10.9], ["A", "A"], "gallery")
    assert find_partners(gallery, gallery).partner.tolist() == [1, 0]
    assert len(find_partners(replace(gallery, polarisation=("VV", "VV")), gallery)) == 0
    lower = labelled([10.0], ["A"], "mine", depression=15.5, seed=4)
    steep = labelled([10.0], ["A"], "mine", depression=30.0, seed=4)
    unknown = labelled([10.0], ["A"], "mine", depression=np.nan, seed=4)
    assert [len(find_partners(chips, gallery)) for chips in (lower, steep, unknown)] == [1, 0, 1]


def test_similarities_equal_scikit_image_on_the_registered_pairs():
    comparison = make_comparison(count=160)
    pairs = registered_pairs(comparison)
    assert len(pairs.partners) >= 20
    assert np.abs(pairs.shift).max() > 0
    assert pairs.data_range == comparison.reference.amplitude.max()
    values = [
        (
            structural_similarity(
                a, b, data_range=pairs.data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            ),
            peak_signal_noise_ratio(a, b, data_range=pairs.data_range),
            np.corrcoef(a.ravel(), b.ravel())[0, 1],
        )
        for a, b in zip(pairs.real.astype(float), pairs.moved.astype(float), strict=True)
    ]
    for name, expected in zip(("ssim", "psnr", "ncc"), np.array(values).T, strict=True):
        measurement = METRICS.get(name)().measure(comparison)
        np.testing.assert_allclose(measurement.details["value"], expected, rtol=2e-5, atol=1e-6)
        (score,) = measurement.scores
        assert score.value == pytest.approx(expected.mean(), abs=1e-6)
        assert score.n == len(pairs.partners)
        assert score.low < score.value < score.high


def test_ms_ssim_equals_torchmetrics(monkeypatch):
    functional = pytest.importorskip("torchmetrics.functional.image")
    rng = np.random.default_rng(4)
    first = rng.rayleigh(30, (2, 192, 192))
    second = (first + rng.normal(0, 12, first.shape)).clip(0)

    def theirs(weights):
        tensors = [torch.from_numpy(x)[:, None] for x in (first, second)]
        measure = functional.multiscale_structural_similarity_index_measure
        return measure(*tensors, data_range=200.0, betas=weights, reduction="none").numpy()

    def ours():
        return ms_ssim(first.astype(np.float32), second.astype(np.float32), 200.0)

    assert scales_for(192, 192) == 5
    # luminance of the last scale: torchmetrics averages over the mirrored border too, the paper's code and this one do not
    np.testing.assert_allclose(ours(), theirs(SCALE_WEIGHTS), atol=1e-3)
    contrast_only = (0.05, 0.3, 0.35, 0.3, 0.0)
    monkeypatch.setattr("geodiff_sar.evaluation.pairs_similarity.SCALE_WEIGHTS", contrast_only)
    np.testing.assert_allclose(ours(), theirs(contrast_only), atol=1e-6)


def test_scales_of_small_chips_and_equal_chips():
    assert [scales_for(side, 200) for side in (11, 22, 56, 112, 176)] == [1, 2, 3, 4, 5]
    chips = make_chips(3).amplitude
    np.testing.assert_allclose(ms_ssim(chips, chips, 255.0), 1.0)
    np.testing.assert_allclose(ssim(chips, chips, 255.0), 1.0)
    np.testing.assert_allclose(ncc(chips, 2 * chips + 1), 1.0)
    small = [make_chips(3, seed).amplitude[:, :20, :20] for seed in (1, 2)]
    np.testing.assert_allclose(ms_ssim(*small, 255.0), ssim(*small, 255.0).clip(0) ** 1.0001, rtol=1e-6)
    assert np.isinf(psnr(chips, chips, 255.0)).all()
    assert np.isnan(ncc(chips, np.ones_like(chips))).all()


def test_paired_metrics_see_what_they_claim():
    """Chips at every second degree, and others half a degree beside them, of two targets."""
    azimuth = np.repeat(np.arange(0, 360, 8.0), 2)
    gallery = make_chips(90, 1, "gallery", azimuth_deg=azimuth)
    real = make_chips(90, 2, "real half", azimuth_deg=azimuth + 0.5)
    rows = {
        name: replace(make_comparison(chips, gallery, name), gallery=gallery) for name, chips in control_rows(real, 0)
    }
    for name in SIMILARITIES:
        values = {row: METRICS.get(name)().measure(comparison).scores[0] for row, comparison in rows.items()}
        for control in ("azimuth-shuffled", "noise", "clutter only"):
            assert values[control].value < values["real half"].value, (name, control)
        assert values["real half"].headline


def test_no_partner_is_said_and_not_measured():
    comparison = make_comparison(replace(make_chips(8, 5), azimuth_deg=np.full(8, np.nan)), count=8)
    for name in SIMILARITIES:
        (score,) = METRICS.get(name)().measure(comparison).scores
        assert np.isnan(score.value)
        assert score.n == 0
        assert "no chip has a real one" in score.note
        assert score.sees == ()


class TestLpips:
    """Random weights in the published format."""

    def write(self, folder, seed=0):
        torch.manual_seed(seed)
        torch.save(alexnet(weights=None).state_dict(), folder / "alexnet-owt-7be5be79.pth")
        linear = {f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1) for k, c in enumerate((64, 192, 384, 256, 256))}
        torch.save(linear, folder / "alex.pth")
        return linear

    def test_without_weights_there_is_no_value(self, monkeypatch, tmp_path):
        monkeypatch.delenv("GEODIFF_LPIPS_WEIGHTS", raising=False)
        (score,) = METRICS.get("lpips")().measure(make_comparison(count=4)).scores
        assert np.isnan(score.value)
        assert "alex.pth" in score.note
        assert "GEODIFF_LPIPS_WEIGHTS" in score.note
        monkeypatch.setenv("GEODIFF_LPIPS_WEIGHTS", str(tmp_path))
        assert "lacks" in METRICS.get("lpips")().measure(make_comparison(count=4)).scores[0].note

    def test_equals_the_published_network(self, monkeypatch, tmp_path):
        module = pytest.importorskip("torchmetrics.functional.image.lpips")
        linear = self.write(tmp_path)
        theirs = module._LPIPS(pretrained=False, net="alex", pnet_rand=True)
        backbone = torch.load(tmp_path / "alexnet-owt-7be5be79.pth", weights_only=True)
        slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
        state = {
            f"net.slice{part}.{k}.{kind}": backbone[f"features.{k}.{kind}"]
            for k, part in slices.items()
            for kind in ("weight", "bias")
        }
        missing = theirs.load_state_dict({**state, **linear}, strict=False)
        assert not missing.unexpected_keys
        assert all(not name.startswith("net.") for name in missing.missing_keys)
        for k in range(5):
            getattr(theirs, f"lin{k}").model[1].weight.data = linear[f"lin{k}.model.1.weight"]
        monkeypatch.setenv("GEODIFF_LPIPS_WEIGHTS", str(tmp_path))
        comparison = make_comparison(count=120)
        pairs = registered_pairs(comparison)
        shown = [
            torch.from_numpy(2 * x / np.float32(pairs.data_range) - 1).clamp(-1, 1)[:, None].repeat(1, 3, 1, 1)
            for x in (pairs.real, pairs.moved)
        ]
        with torch.inference_mode():
            expected = theirs.eval()(*shown).flatten().numpy()
        measurement = METRICS.get("lpips")().measure(comparison)
        np.testing.assert_allclose(measurement.details["value"], expected, rtol=1e-4)
        assert measurement.scores[0].value > 0

    @pytest.mark.parametrize("damage", ["short", "other"])
    def test_damaged_weights_are_refused(self, monkeypatch, tmp_path, damage):
        self.write(tmp_path)
        path = tmp_path / "alex.pth"
        if damage == "short":
            path.write_bytes(path.read_bytes()[:500])
        else:
            torch.save({"lin0.model.1.weight": torch.rand(1, 3, 1, 1)}, path)
        monkeypatch.setenv("GEODIFF_LPIPS_WEIGHTS", str(tmp_path))
        with pytest.raises(FileError, match="alex"):
            METRICS.get("lpips")().measure(make_comparison(count=120))
