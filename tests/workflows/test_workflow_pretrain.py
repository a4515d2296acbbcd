import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.pixels import quarter_turns
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.workflows.pretrain import pretrain
from geodiff_sar.workflows.pretraining.chips import ModelValues, load_chips
from geodiff_sar.workflows.pretraining.stage import read_log
from geodiff_sar.workflows.roundtrip import RoundTripRequest, roundtrip
from support import TINY, write_chips_root


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param({}, id="float32"),
        pytest.param({"precision": "bf16"}, id="bfloat16"),
        pytest.param(
            {"precision": "bf16", "compile": True},
            id="compiled",
            marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore")],
        ),
    ],
)
def test_pretraining_resumes_bit_for_bit(tmp_path, monkeypatch, stage):
    from geodiff_sar.core.errors import Interrupted
    from geodiff_sar.workflows.pretraining import stage as module

    slow = {**TINY, "train_transformer": {"max_steps": 4, "batch_size": 4, "checkpoint_every_steps": 2, **stage}}
    whole = pretrain(PretrainOptions.model_validate({**slow, "output_dir": str(tmp_path / "a")}))
    real = module.run_loop

    def stopped(task, source, optimizer, schedule, options, *rest, **named):
        if named.get("title") != "transformer":
            return real(task, source, optimizer, schedule, options, *rest, **named)
        result = real(task, source, optimizer, schedule, options.model_copy(update={"max_steps": 2}), *rest, **named)
        result.finished = False
        return result

    options = PretrainOptions.model_validate({**slow, "output_dir": str(tmp_path / "b")})
    monkeypatch.setattr(module, "run_loop", stopped)
    with pytest.raises(Interrupted):
        pretrain(options)
    monkeypatch.setattr(module, "run_loop", real)
    torch.manual_seed(99)
    again = pretrain(options)
    for part in ("transformer", "vae", "text_encoder", "tokenizer_2"):
        for file in sorted((whole / part).iterdir()):
            assert file.read_bytes() == (again / part / file.name).read_bytes(), file
    with pytest.raises(DataError, match="another configuration"):
        pretrain(options.model_copy(update={"shift": 2.0}))


def test_going_on_from_a_base_trains_its_transformer_alone(tiny_base, tmp_path):
    again = {**TINY, "start_from": str(tiny_base), "output_dir": str(tmp_path / "again")}
    folder = pretrain(PretrainOptions.model_validate(again))
    for part in ("vae", "text_encoder", "text_encoder_3"):
        before, after = (load_file(next((base / part).glob("*.safetensors"))) for base in (tiny_base, folder))
        assert all(torch.equal(before[name], after[name]) for name in before)
    before, after = (load_file(next((base / "transformer").glob("*.safetensors"))) for base in (tiny_base, folder))
    change = [float((after[name] - before[name]).norm() / before[name].norm().clamp_min(1e-9)) for name in before]
    assert 0 < np.median(change) < 0.2
    assert (folder / "work" / "report" / "curves.png").is_file()
    with pytest.raises(OptionError, match=r"vae\.latent_channels"):
        other = {**again, "vae": {**TINY["vae"], "latent_channels": 4}, "output_dir": str(tmp_path / "b")}
        pretrain(PretrainOptions.model_validate(other))
    with pytest.raises(OptionError, match="other sizes"):
        other = {**again, "transformer": {**TINY["transformer"], "heads": 4}, "output_dir": str(tmp_path / "c")}
        pretrain(PretrainOptions.model_validate(other))


def test_papers_beside_the_base(tiny_base):
    card = (tiny_base / "README.md").read_text()
    assert "8 chips of the ray tracer" in card
    assert "block_out_channels" in card
    report = tiny_base / "work" / "report"
    assert json.loads((report / "numbers.json").read_text()) == {}
    for name in ("curves.png", "samples.png"):
        assert np.asarray(Image.open(report / name)).std() > 0


def test_a_log_after_a_resume_has_one_value_per_step(tmp_path):
    rows = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 2, "loss": 2.5}, {"step": 3, "loss": 1.0}]
    (tmp_path / "vae.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')
    assert read_log(tmp_path / "vae") == {"loss": [(1, 3.0), (2, 2.5), (3, 1.0)]}


def test_grey_levels_and_amplitudes_become_the_same_model_values():
    remap = AmplitudeRemap(exponent=0.5)
    grey = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    amplitudes = grey.astype(np.float32)
    one, other = ModelValues(2, grey.__getitem__, remap), ModelValues(2, amplitudes.__getitem__, remap)
    assert all(np.array_equal(one[k], other[k]) for k in range(2))
    assert len(one[:5]) == 2


def test_training_on_a_folder_and_the_round_trip_of_its_chips(tmp_path):
    write_chips_root(tmp_path / "data", count=4)
    folder = pretrain(
        PretrainOptions.model_validate(
            {**TINY, "output_dir": str(tmp_path / "base"), "data_root": str(tmp_path / "data")}
        )
    )
    assert not (folder / "work" / "corpus").exists()
    with pytest.raises(DataError, match="several sizes"):
        roundtrip(RoundTripRequest(tmp_path / "data", tmp_path / "out", str(folder)))
    square = tmp_path / "square"
    square.mkdir()
    for k in range(3):
        grey = np.random.default_rng(k).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(grey).save(square / f"{k}.png")
        (square / f"{k}.txt").write_text("SAR image,A,Ku-band,High,HH-Polarization,0.0")
    assert "psnr_db" in roundtrip(RoundTripRequest(square, tmp_path / "out", str(folder)))
    written = json.loads((tmp_path / "out" / "roundtrip.json").read_text())
    assert written["chips"] == 3
    assert written["psnr_db"] < 20
    assert (tmp_path / "out" / "roundtrip.png").is_file()


def test_chips_of_a_folder_lie_in_the_frame_of_the_package(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    (tmp_path / "linear").mkdir()
    Image.fromarray(grey).save(tmp_path / "linear" / "a.png")
    (tmp_path / "manifest.csv").write_text("file,class,target_azimuth_deg\na.png,T72,30\n")
    lying = load_chips(PretrainOptions.model_validate({**TINY, "data_root": str(tmp_path)}), tmp_path / "work")
    (sample,) = read_samples(tmp_path)
    turned = np.rot90(grey, quarter_turns(sample.grid)).astype(np.float32)
    assert np.array_equal(lying.values[0], AmplitudeRemap().to_model(turned))


def test_sizes_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(OptionError, match="multiples of 16"):
        pretrain(PretrainOptions.model_validate({**TINY, "output_dir": str(tmp_path / "a"), "resolution": [40, 40]}))
    with pytest.raises(OptionError, match=r"corpus.size"):
        pretrain(PretrainOptions.model_validate({**TINY, "output_dir": str(tmp_path / "b"), "resolution": [64, 64]}))
