import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model_lora import answer, shaken, tiny

from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import AdapterRecord, load_adapter, read_adapter, save_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.lora import LoraOptions, add_lora


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    stack = ConditioningStack(ConditioningSizes(16, 16, 64, 16), ConditioningOptions(), FusionOptions(method="gated"))
    for parameter in stack.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    options = LoraOptions(rank=4)
    model = shaken(options)
    record = AdapterRecord(
        base="mini", base_hash="h" * 64, shift=2.0, remap=AmplitudeRemap(), resolution=(32, 32), t5_length=8,
        lora=options, conditioning=stack.header(), steps=5,
    )  # fmt: skip
    files = save_adapter(tmp_path / "run", "run", model, stack, record)
    return tmp_path / "run", files, model, stack


def test_all_tensors_come_back(saved):
    folder, _, model, stack = saved
    fresh = tiny()
    loaded = load_adapter(resolve_adapter(str(folder)), fresh, "h" * 64)
    assert torch.equal(answer(fresh), answer(model))
    mine, theirs = stack.state_dict(), loaded.conditioning.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert loaded.record.shift == 2.0


@pytest.mark.parametrize("ending", [".safetensors", "_fusion_weights.safetensors"])
def test_nan_is_found_before_the_transformer_is_loaded(saved, ending):
    path = saved[0] / f"run{ending}"
    state = load_file(path)
    name = sorted(state)[-1]
    state[name].view(-1)[-1] = float("nan")
    save_file(state, path)
    with pytest.raises(DataError, match=f"(?s)run{ending}: NaN or Inf in {re.escape(name)}.*earlier checkpoint"):
        read_adapter(resolve_adapter(str(saved[0])), "h" * 64)


def test_folder_file_and_glob_find_the_same(saved):
    folder, files, _, _ = saved
    for path in (
        folder,
        folder / "run.safetensors",
        folder / "run_fusion_weights.safetensors",
        folder / "run*.safetensors",
    ):
        assert resolve_adapter(str(path)) == files
    assert resolve_adapter(str(folder / "*.safetensors")) == files


def test_what_is_not_one_adapter(saved, tmp_path):
    folder, files, _, _ = saved
    with pytest.raises(FileError, match="no such file"):
        resolve_adapter(str(tmp_path / "none*"))
    for file in list(folder.iterdir()):
        shutil.copy(file, folder / file.name.replace("run", "other", 1))
    with pytest.raises(FileError, match="matches 2 adapters"):
        resolve_adapter(str(folder / "*.safetensors"))
    files.record.unlink()
    with pytest.raises(FileError, match=r"run_fusion\.json.*no such file"):
        resolve_adapter(str(files.weights))


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_conditioning_weights_are_loaded_strictly(saved, change):
    folder, files, _, _ = saved
    state = load_file(files.fusion_weights)
    key = "fusion.text_weight"
    if change == "missing":
        del state[key]
    elif change == "extra":
        state["fusion.more"] = torch.zeros(1)
    else:
        state["null_geometry"] = torch.zeros(3)
    save_file(state, files.fusion_weights)
    with pytest.raises(DataError, match="weights match their record exactly"):
        load_adapter(resolve_adapter(str(folder)), tiny(), "h" * 64)


def test_published_record_without_ours_is_explained(saved):
    folder, files, _, _ = saved
    published = {k: v for k, v in json.loads(files.record.read_text()).items() if k != "geodiff_sar"}
    files.record.write_text(json.dumps(published))
    with pytest.raises(FileError, match="were never trained"):
        load_adapter(resolve_adapter(str(folder)), tiny(), "h" * 64)


def test_damaged_file(saved):
    folder, files, _, _ = saved
    files.weights.write_bytes(files.weights.read_bytes()[:50])
    with pytest.raises(FileError, match="intact safetensors"):
        load_adapter(resolve_adapter(str(folder)), tiny(), "h" * 64)


def test_lora_initialisation_depends_on_the_seed_only():
    states = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        model = tiny()
        torch.manual_seed(noise)
        add_lora(model, LoraOptions(rank=2), seed=7)
        states.append({n: p.clone() for n, p in model.named_parameters() if "lora_A" in n})
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ours: ours.update(version=99), "version = 99"),
        (lambda ours: ours.update(resolution=[-3, 0]), "resolution"),
        (lambda ours: ours.update(conditioning={}), "the key 'sizes' is missing"),
        (lambda ours: ours["conditioning"]["fusion"].update(method="sum"), "fusion.method: 'sum'"),
        (lambda ours: ours.pop("shift"), "the key 'shift' is missing"),
    ],
)
def test_a_changed_record_is_named(saved, change, words):
    folder = saved[0]
    path = folder / "run_fusion.json"
    record = json.loads(path.read_text())
    change(record["geodiff_sar"])
    path.write_text(json.dumps(record))
    with pytest.raises(OptionError, match=words) as error:
        load_adapter(resolve_adapter(str(folder)), tiny(), "h" * 64)
    assert "run_fusion.json" in str(error.value)
