"""Ways to keep a base in less memory, against the whole base."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from checkpoint_support import tiny_models, write_checkpoint
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.model import part_size as module
from geodiff_sar.model.adapter import load_conditioning
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.base import load_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.folder_base import FolderBase
from geodiff_sar.model.lora import LoraOptions, add_lora, lora_state_dict
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.dora import Dora
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.model.peft_layers import add_changes
from geodiff_sar.model.single_file.source import SingleFileBase
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import block_linears
from geodiff_sar.model.storage.offloaded import Offloaded
from geodiff_sar.workflows.train import train
from training_runs import config_for

CAPTIONS = ["SAR image,A,Ku-band,High,HH-Polarization,0.0", ""]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> BaseFiles:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny_models())


def opened(base, **memory):
    return load_base(base, torch.float32, None, MemoryOptions(**memory))


def velocity(base) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    config = base.skeleton.config
    shapes = [
        (1, config["in_channels"], 16, 16),
        (1, 9, config["joint_attention_dim"]),
        (1, config["pooled_projection_dim"]),
    ]
    x, context, pooled = (torch.randn(shape, generator=generator) for shape in shapes)
    return base.transformer(
        hidden_states=x, timestep=torch.tensor([500.0]), encoder_hidden_states=context, pooled_projections=pooled,
        return_dict=False,
    )[0]  # fmt: skip


@pytest.mark.parametrize("kind", ["single file", "folder"])
def test_streamed_t5_is_t5_bit_for_bit_and_leaves_nothing_in_memory(kind, files, tiny_base):
    name = files if kind == "single file" else str(tiny_base)
    whole, streamed = load_base(name), opened(name, t5="streamed")
    assert streamed.hash == whole.hash
    assert streamed.text.model_hash == whole.text.model_hash
    for ours, theirs in zip(streamed.text.encode(CAPTIONS), whole.text.encode(CAPTIONS), strict=True):
        assert torch.equal(ours, theirs)
    assert all(parameter.is_meta for parameter in streamed.text.encoders.t5.parameters())
    assert not any(parameter.is_meta for parameter in whole.text.encoders.t5.parameters())


def test_t5_is_streamed_in_one_of_several_processes(tiny_base):
    """There the device has a number: cpu:0."""
    memory = MemoryOptions.model_validate({"t5": "streamed"})
    numbered = load_base(str(tiny_base), device=torch.device("cpu:0"), memory=memory)
    for ours, theirs in zip(
        numbered.text.encode(CAPTIONS), load_base(str(tiny_base)).text.encode(CAPTIONS), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_scaled_fp8_weights_are_streamed_with_their_scale(files, tmp_path):
    state = {}
    for name, tensor in load_file(files.t5xxl).items():
        state[name] = tensor
        if name.endswith("SelfAttention.q.weight"):
            state[name] = (tensor / 0.01).to(torch.float8_e4m3fn)
            state[name.removesuffix(".weight") + ".scale_weight"] = torch.tensor(0.01)
    save_file(state, tmp_path / "t5.safetensors")
    scaled = BaseFiles(**{**vars(files), "t5xxl": tmp_path / "t5.safetensors"})
    whole, streamed = load_base(scaled).text.encode(CAPTIONS), opened(scaled, t5="streamed").text.encode(CAPTIONS)
    assert torch.equal(streamed[0], whole[0])
    assert not torch.equal(whole[0], load_base(files).text.encode(CAPTIONS)[0])


def test_without_t5_its_tokens_are_zero_and_its_files_are_not_needed(files, tmp_path):
    words = tmp_path / "tokenizers"
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(files.tokenizers / tokenizer, words / tokenizer)
    bare = BaseFiles(files.name, files.clip_l, files.clip_g, None, files.vae, words)
    with pytest.raises(FileError, match="--t5xxl FILE"):
        load_base(bare)
    whole, without = load_base(files), opened(bare, t5="none")
    assert without.hash == whole.hash_without_t5 != whole.hash
    assert without.text.model_hash != whole.text.model_hash
    (ours, pooled), (theirs, same) = without.text.encode(CAPTIONS), whole.text.encode(CAPTIONS)
    assert ours.shape == theirs.shape
    first = whole.text.token_lengths[0]
    assert torch.equal(ours[:, :first], theirs[:, :first])
    assert torch.equal(pooled, same)
    assert not ours[:, first:].any()
    assert theirs[:, first:].any()


def test_a_folder_without_t5(tiny_base, tmp_path):
    import shutil

    bare = shutil.copytree(
        tiny_base, tmp_path / "bare", ignore=shutil.ignore_patterns("work", "text_encoder_3", "tokenizer_3")
    )
    with pytest.raises(FileError, match="text_encoder_3"):
        load_base(str(bare))
    base = opened(str(bare), t5="none")
    assert base.hash == load_base(str(tiny_base)).hash_without_t5
    assert base.text.encode(CAPTIONS)[0].isfinite().all()


@pytest.fixture(scope="module")
def adapters(chips_root, tiny_base, tmp_path_factory) -> dict[str, Path]:
    """Adapters trained with T5 and without."""
    folders = {}
    for t5 in ("whole", "none"):
        config = config_for(chips_root, tiny_base, tmp_path_factory.mktemp(t5), max_steps=1)
        folders[t5] = train(config.model_copy(update={"memory": MemoryOptions(t5=t5)}))
    return folders


@pytest.mark.parametrize(("trained", "used"), [("whole", "none"), ("none", "whole")])
def test_an_adapter_is_used_the_other_way_round_with_a_word(adapters, tiny_base, trained, used, capsys):
    base = opened(str(tiny_base), t5=used)
    load_conditioning(resolve_adapter(str(adapters[trained])), base.hash, base.hash_without_t5)
    assert f"trained {'without' if trained == 'none' else 'with'} T5" in capsys.readouterr().err


@pytest.mark.parametrize("t5", ["whole", "none"])
def test_an_adapter_is_used_as_it_was_trained_without_a_word(adapters, tiny_base, t5, capsys):
    base = opened(str(tiny_base), t5=t5)
    load_conditioning(resolve_adapter(str(adapters[t5])), base.hash, base.hash_without_t5)
    assert "T5" not in capsys.readouterr().err


def test_an_adapter_is_refused_with_another_t5_or_another_base(adapters, tiny_base):
    base = load_base(str(tiny_base))
    for hashes in (("0" * 64, base.hash_without_t5), ("0" * 64, "1" * 64), ("1" * 64, "1" * 64)):
        with pytest.raises(DataError, match="was trained on the base"):
            load_conditioning(resolve_adapter(str(adapters["whole"])), *hashes)


PACKAGES = {"fp8": None, "8bit": "torchao", "4bit": "bitsandbytes"}
FAR = {"fp8": 0.03, "8bit": 0.02, "4bit": 0.15}
"""Largest mean deviation of the velocity from the whole base's, in its standard deviations."""


@pytest.mark.parametrize("storage", sorted(PACKAGES))
class TestStorages:
    """Every storage of the transformer is close to the whole one, smaller, and bears LoRA."""

    @pytest.fixture(autouse=True)
    def _package(self, storage):
        if PACKAGES[storage] is not None:
            pytest.importorskip(PACKAGES[storage])

    def test_velocities_are_close(self, storage, files):
        whole, stored = load_base(files), opened(files, transformer=storage)
        expected, found = velocity(whole), velocity(stored)
        assert 0 < float((found - expected).abs().mean() / expected.std()) < FAR[storage]

    def test_blocks_are_smaller(self, storage, files):
        sizes = {}
        for name in ("whole", storage):
            blocks = opened(files, transformer=name).transformer.transformer_blocks
            own = [p for layer in blocks.modules() for p in layer.parameters(recurse=False)]
            weights = [p for p in own if p.ndim == 2 or p.dtype == torch.uint8]
            sizes[name] = sum(stored_bytes(p) for p in weights)
        per_weight = STORAGES.get(storage).bytes_per_weight
        assert per_weight is not None
        assert sizes[storage] < 1.35 * sizes["whole"] * per_weight / 4

    def test_lora_trains_on_it(self, storage, files):
        changed, trained = self.after_two_steps(files, storage)
        assert trained == {torch.float32}
        second = {name for name in self.after_two_steps(files, "whole")[0] if "lora_B" in name}
        assert len(second) > 40
        assert {name for name in changed if "lora_B" in name} == second

    @staticmethod
    def after_two_steps(files, storage) -> tuple[set[str], set[torch.dtype]]:
        """Names of the LoRA weights that changed, and the number formats of what is trained."""
        transformer = opened(files, transformer=storage).transformer
        add_lora(transformer, LoraOptions(rank=2, alpha=2.0), seed=0)
        before = {name: tensor.clone() for name, tensor in lora_state_dict(transformer).items()}
        trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
        base = type("Base", (), {"skeleton": transformer, "transformer": transformer})
        optimizer = torch.optim.SGD(trained, lr=1.0)
        for _ in range(2):
            optimizer.zero_grad()
            velocity(base).square().mean().backward()
            optimizer.step()
        after = lora_state_dict(transformer)
        changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
        return changed, {parameter.dtype for parameter in trained}


class OneDevice(TorchDispatchMode):
    """Refuses operations, copies apart, on tensors of the CPU and of another device together; numbers may be anywhere."""

    def __init__(self):
        super().__init__()
        self.copied = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor) and value.ndim]
        devices = {value.device.type for value in tensors}
        if func._overloadpacket is torch.ops.aten._to_copy:
            self.copied += devices != {result.device.type}
        else:
            assert len(devices) < 2, f"{func} on {devices}"
        return result


class TestOffloaded:
    """Blocks whose weights stay on the CPU; a device without memory (meta) stands for the GPU."""

    def test_on_a_cpu_it_changes_nothing_and_says_so(self, files, capsys):
        assert torch.equal(velocity(opened(files, transformer="offloaded")), velocity(load_base(files)))
        assert "has no effect on a CPU" in " ".join(capsys.readouterr().err.split())

    @pytest.mark.parametrize("checkpointing", [True, False])
    def test_a_training_step_keeps_devices_apart(self, files, checkpointing):
        transformer = load_base(files).transformer
        Offloaded.apply(transformer, torch.float32, torch.device("meta"))
        transformer.to("meta")
        add_lora(transformer, LoraOptions(rank=2, alpha=2.0), seed=0)
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        transformer.train()
        base = [p for name, p in transformer.named_parameters() if "base_layer" in name]
        assert {p.device.type for p in base} == {"cpu"}
        trained = [p for p in transformer.parameters() if p.requires_grad]
        assert {p.device.type for p in trained} == {"meta"}
        config = transformer.config
        with OneDevice() as mode:
            transformer(
                hidden_states=torch.empty(1, config["in_channels"], 16, 16, device="meta"),
                timestep=torch.empty(1, device="meta"),
                encoder_hidden_states=torch.empty(1, 9, config["joint_attention_dim"], device="meta"),
                pooled_projections=torch.empty(1, config["pooled_projection_dim"], device="meta"),
                return_dict=False,
            )[0].square().mean().backward()
        assert mode.copied == len(base) * (2 if checkpointing else 1)
        assert {p.grad.device.type for p in trained if p.grad is not None} == {"meta"}
        assert len([p for p in trained if p.grad is not None]) > 40

    def test_what_it_takes_on_either_device(self, files):
        """On a CPU as much as whole; on a GPU its blocks take nothing."""
        source, cpu, gpu = SingleFileBase(files), torch.device("cpu"), torch.device("cuda")

        def size(storage, device):
            return module.part_size(
                source, "transformer", torch.float32, MemoryOptions(transformer=storage), device
            ).bytes

        blocks = sum(4 * layer.weight.numel() for _, layer in block_linears(source.empty("transformer")))
        assert size("offloaded", cpu) == size("sharded", cpu) == size("whole", cpu) == size("whole", gpu)
        assert size("offloaded", gpu) == size("whole", gpu) - blocks

    def test_memory_of_the_cpu_is_asked_for_too(self, files, monkeypatch):
        monkeypatch.setattr(module, "free_bytes", lambda device: 1000.0 if device.type == "cpu" else None)
        with pytest.raises(OptionError, match=r"(?s)transformer.*are free on cpu"):
            load_base(files, torch.float32, torch.device("meta"), MemoryOptions(transformer="offloaded", t5="none"))

    def test_what_it_cannot_bear(self, files, chips_root, tiny_base, tmp_path):
        with pytest.raises(OptionError, match="'sharded' in a single process"):  # nothing is loaded for that
            opened(files, transformer="sharded")
        with pytest.raises(ValueError, match=r"without train\.gradient_checkpointing"):
            config_for(chips_root, tiny_base, tmp_path, {"memory": {"transformer": "offloaded"}})

    def test_a_run_goes_on_with_it(self, chips_root, tiny_base, tmp_path):
        whole = config_for(chips_root, tiny_base, tmp_path, max_steps=2, gradient_checkpointing=True)
        offloaded = {"memory": {"transformer": "offloaded"}}
        config = config_for(chips_root, tiny_base, tmp_path, offloaded, max_steps=2, gradient_checkpointing=True)
        assert train(whole) == train(config)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """The same base stored in bfloat16: as a single file, and the transformer as a folder's."""
    models = tiny_models()
    files = write_checkpoint(tmp_path_factory.mktemp("half"), models, dtype=torch.bfloat16)
    folder = tmp_path_factory.mktemp("folder")
    models.transformer.to(torch.bfloat16).save_pretrained(folder / "transformer")
    return SingleFileBase(files), FolderBase(folder)


class TestMaking:
    """Weights of 8 or 4 bits are made from whole ones."""

    @pytest.mark.parametrize("kind", [0, 1], ids=["single file", "folder"])
    def test_what_is_cast_first_is_counted(self, half, kind):
        source, cpu = half[kind], torch.device("cpu")
        weights = sum(p.numel() for p in source.empty("transformer").parameters())
        weights += sum(b.numel() for b in source.empty("transformer").buffers())
        cast = module.part_size(source, "transformer", torch.float32, MemoryOptions(transformer="fp8"), cpu)
        assert cast.made_from == 4 * weights > 2 * cast.bytes
        mapped = module.part_size(source, "transformer", torch.bfloat16, MemoryOptions(transformer="fp8"), cpu)
        assert mapped.making == 0
        whole = module.part_size(source, "transformer", torch.float32, MemoryOptions(), cpu)
        assert whole.making == 0

    def test_it_is_refused_before_loading_where_it_does_not_fit(self, half, files, monkeypatch):
        asked = MemoryOptions(transformer="fp8", t5="none")
        sizes = [
            module.part_size(half[0], "transformer", torch.float32, asked, torch.device("cpu")),
            module.part_size(half[0], "vae", torch.float32, asked, torch.device("cpu")),
        ]
        free = sum(size.bytes for size in sizes) + 1
        assert free < sizes[0].made_from + sizes[1].bytes
        monkeypatch.setattr(module, "free_bytes", lambda device: free)
        assert load_base(files, torch.float32, None, asked).transformer is not None  # stored so: nothing is cast
        with pytest.raises(
            OptionError, match=r"(?s)transformer: .* while it is loaded.*take a file in the run's number format"
        ):
            load_base(half[0].files, torch.float32, None, asked)


@pytest.mark.parametrize("stored", ["offloaded", "fp8"])
def test_what_a_dora_cannot_compute_with(stored, files, chips_root, tiny_base, tmp_path):
    transformer = opened(files, transformer=stored).transformer
    with pytest.raises(OptionError, match=f"'{stored}' with a DoRA"):
        add_lora(transformer, LoraOptions(rank=2, dora=True), seed=0)
    rows, columns = transformer.transformer_blocks[0].attn.to_q.weight.shape
    factors = Factors(torch.ones(1, columns), torch.ones(rows, 1), 1.0)
    name = "transformer.transformer_blocks.0.attn.to_q"
    with pytest.raises(OptionError, match=f"'{stored}' with a DoRA"):
        add_changes(transformer, Lora({name: replace(factors, dora=Dora(torch.ones(rows)))}, {}, "x"))
    add_changes(transformer, Lora({name: factors}, {}, "x"))
    given = {"memory": {"transformer": stored}, "lora": {"dora": True}}
    with pytest.raises(ValueError, match=rf"{stored}.* with lora\.dora"):
        config_for(chips_root, tiny_base, tmp_path, given, gradient_checkpointing=True)


def stored_bytes(parameter: torch.Tensor) -> int:
    """Bytes of a tensor, or of all tensors inside a quantised one."""
    names = getattr(parameter, "tensor_data_names", None)
    if names is None:
        return parameter.nbytes
    return sum(getattr(parameter, name).nbytes for name in names)


def test_t5_in_8_bit(files):
    pytest.importorskip("torchao")
    whole, stored = load_base(files), opened(files, t5="8bit")
    assert stored.hash == whole.hash
    assert stored.text.model_hash != whole.text.model_hash  # so that caches of captions are kept apart
    (ours, _), (theirs, _) = stored.text.encode(CAPTIONS), whole.text.encode(CAPTIONS)
    assert 0 < float((ours - theirs).abs().mean() / theirs.std()) < 0.02


def test_unknown_storages_are_refused_before_anything_is_read(tmp_path, files):
    with pytest.raises(OptionError, match="whole"):
        opened(files, transformer="2bit")


def test_a_missing_package_is_named(files, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(OptionError, match="pip install bitsandbytes"):
        _ = opened(files, transformer="4bit").transformer


def test_too_little_memory_is_told_before_anything_is_loaded(files, monkeypatch):
    whole = load_base(files)
    encoders = whole.text.encoders
    text = sum(p.nbytes for part in (encoders.clip_l, encoders.clip_g, encoders.t5) for p in part.parameters())
    monkeypatch.setattr(module, "free_bytes", lambda device: 0.9 * text)
    with pytest.raises(OptionError, match=r"CLIP-L .* CLIP-G .* T5 .* for weights alone") as caught:
        load_base(files)
    assert "--no-t5" in str(caught.value)
    with pytest.raises(OptionError, match=r"transformer .* VAE .* for weights alone"):
        opened(files, t5="none")  # the text encoders have room now, the VAE of this base has not
    monkeypatch.setattr(module, "free_bytes", lambda device: None)
    load_base(files)


def test_free_memory_is_what_the_system_says(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:    2048 kB\n")
    assert module._meminfo(tmp_path / "meminfo") == 2048 * 1024
    assert module._meminfo(tmp_path / "nothing") is None
    for name, content in (("max", "1000\n"), ("current", "700\n"), ("stat", "anon 5\nfile 200\n")):
        (tmp_path / f"memory.{name}").write_text(content)
    assert module._cgroup(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert module._cgroup(tmp_path) is None
