"""What becomes of the settings of the published script; the script of the tests states all of them, in their own words."""

import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image
from tracing_cases import command

from checkpoint_support import tiny_models, tiny_transformer, write_checkpoint
from geodiff_sar.core.config import flat_settings, load_options, read_toml
from geodiff_sar.core.errors import FileError, GeodiffError, OptionError
from geodiff_sar.model.adapter import load_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.base import load_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.folder_base import EMBEDDED
from geodiff_sar.workflows.import_config import ImportRequest, import_config
from geodiff_sar.workflows.importing.configure import options_of, require_followed, settle
from geodiff_sar.workflows.importing.expressions import NotPlain, evaluate
from geodiff_sar.workflows.importing.powershell import read_statements
from geodiff_sar.workflows.importing.published import ALIASES, SETTINGS
from geodiff_sar.workflows.importing.script import read_script
from geodiff_sar.workflows.train import TrainConfig
from support import write_chips_root

SCRIPT = Path(__file__).with_name("published_settings.ps1")
REPOSITORY = Path(__file__).resolve().parents[2]


def rows_of(tmp_path, *changes, script=SCRIPT):
    """Rows of the script with lines added in front of its environment variables."""
    text = script.read_text().replace(
        "$Env:CUDA_VISIBLE_DEVICES", "\n".join([*changes, "$Env:CUDA_VISIBLE_DEVICES"]), 1
    )
    path = tmp_path / "changed.ps1"
    path.write_text(text)
    read = read_script(path, ALIASES)
    return read, {row.setting.shown.lstrip("$-").lower(): row for row in settle(read)}


def options(tmp_path, *changes):
    read, rows = rows_of(tmp_path, *changes)
    require_followed(read, list(rows.values()))
    return flat_settings(options_of(read, list(rows.values())))


def test_published_settings_come_to_the_preset(tmp_path):
    out = tmp_path / "run.toml"
    assert import_config(ImportRequest(source=SCRIPT, out=out)) == str(out)
    ours = flat_settings(load_options(TrainConfig, out).model_dump(mode="json"))
    preset = flat_settings(
        load_options(TrainConfig, REPOSITORY / "configs/train_sd35m_24g_lora.toml").model_dump(mode="json")
    )
    differing = {key for key in ours.keys() | preset.keys() if ours.get(key) != preset.get(key)}
    assert differing == {"data.root", "train.gradient_checkpointing"}
    assert ours["data.root"] == "./train/data/train"  # the folder of class folders
    assert preset["train.gradient_checkpointing"]
    assert not ours["train.gradient_checkpointing"]


def test_every_setting_has_its_place_in_the_table():
    read = read_script(SCRIPT, ALIASES)
    assert set(read.settings) <= set(SETTINGS)
    variables = {name for name in read.settings if not name.startswith("env:")}
    assert len(variables) > 200
    assert set(read.inside) <= set(SETTINGS) | {"kept", "name"}


def test_the_page_and_the_table_agree():
    page = (REPOSITORY / "docs/published_settings.md").read_text()
    written = {row.split("|")[1]: row for row in page.replace(r"\|", "/").splitlines() if row.startswith("| `")}
    named = {name: row for first, row in written.items() for name in re.findall(r"`[^`]*`", first)}
    rules = {}
    for text, row in named.items():
        for option in re.findall(r"(?:--|\$)(\w+)", text):
            rules[ALIASES.get(option, option)] = row
        for variable in re.findall(r"\b[A-Z][A-Z_]{4,}\b", text):
            rules[f"env:{variable.lower()}"] = row
    assert set(rules) <= {*SETTINGS, "network_args", "optimizer_args"}
    read = read_script(SCRIPT, ALIASES)
    for row in settle(read):
        name = row.setting.shown.lstrip("$-").lower()
        name = ALIASES.get(name, name)
        for key in row.outcome.options:
            assert name in rules or name in ("train_mode",), name
            table = key.rpartition(".")[0]
            assert any(f"`{part}" in rules.get(name, page) for part in (key, f"{table}.*", f"{table}`")), (name, key)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['$optimizer_type = "AdamW"'], {"optimizer.name": "adamw", "optimizer.lr": 1e-3, "optimizer.conditioning_lr": 1e-5}),
        (['$optimizer_type = "AdamW"', '$unet_lr = ""'], {"optimizer.lr": 1e-5, "optimizer.args.betas": [0.9, 0.95]}),
        (['$optimizer_type = "AdamW"', "$fusion_lr = 2e-4"], {"optimizer.lr": 1e-3, "optimizer.conditioning_lr": 2e-4}),
        (["$lr_warmup_steps = 50"], {"schedule.warmup": 50.0, "optimizer.args.safeguard_warmup": True}),
        (["$lr_scheduler = 'warmup_stable_decay'"], {"schedule.decay": 0.1}),
        (["$full_bf16 = 0", '$mixed_precision = "fp16"'], {"train.precision": "fp16", "save_precision": "bf16"}),
        (["$full_bf16 = 0", '$save_precision = "float"'], {"save_precision": "fp32"}),
        (["$enable_3d_fusion = $false"], {"inject": [], "fusion.method": None, "data.pointcloud_dir": None}),
        (["$enable_bucket = 0"], {"data.buckets.enable_bucket": False, "data.buckets.min_bucket_reso": None}),
        (["$network_dropout = 0"], {"lora.dropout": 0.0, "lora.max_norm": None}),
        (["$enable_sample = 0"], {"preview.prompts_file": None, "train.preview_every_epochs": None}),
        (['$dataset_config = "./set.toml"'], {"data.dataset_config": "./set.toml", "data.root": None}),
        (['$dataset_config = "./set.toml"'], {"train.batch_size": None, "data.buckets.resolution": None}),
        (["$fusion_method = 'gated'"], {"fusion.method": "gated", "fusion.options.push_target": None}),
        (["$output_name = $fusion_method + '-' + 3"], {"output_name": "hybrid_film_attn-3"}),
        (["$BATCH_SIZE = 4"], {"train.batch_size": 4}),
        (["$resolution = @(128, 192)"], {"data.buckets.resolution": [128, 192]}),
        (['[void]$ext_args.Add("--max_grad_norm=0.5")'], {"train.clip_norm": 0.5}),
    ],
)  # fmt: skip
def test_settings_change_what_they_stand_for(tmp_path, lines, expected):
    found = options(tmp_path, *lines)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('$train_mode = "flux_lora"', r"only LoRA on Stable Diffusion 3"),
        ('$optimizer_type = "Lion"', r"no optimizer of this name"),
        ("$caption_tag_dropout_rate = 0.1", r"caption_dropout_rate drops whole captions"),
        ("$train_unet_only = 0", "text encoders are not trained"),
        ("$enable_lora_plus = 1", "one learning rate"),
        ('$reg_data_dir = "./reg"', "regularisation"),
        ("$bucket_no_upscale = 1", "fills its bucket"),
        ("$seed = (Get-Date).Ticks", r"\$seed = .*read, not run"),
        ("$seed = 'many'", r"line \d+: \$seed = 'many'\n  rule:   a number"),
        ('[void]$ext_args.Add("--random_crop")', "--random_crop = 1: unknown here"),
        ("$fusion_lr = 1e-4", "Prodigy takes one rate"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, line, said):
    with pytest.raises(OptionError, match=said):
        options(tmp_path, line)


def test_settings_that_the_script_never_reads_are_named(tmp_path):
    _, rows = rows_of(tmp_path, "$batch_sizes = 4", "$folder = './train'", "$train_data_dir = $folder + '/data'")
    assert rows["batch_sizes"].result == "no effect: the script passes it to nothing (did you mean $batch_size?)"
    assert rows["train_data_dir"].outcome.options == {"data.root": "./train/data"}
    assert "no effect" in rows["folder"].result
    _, rows = rows_of(tmp_path, '$wandb_api_key = "abc"')
    assert "abc" not in rows["wandb_api_key"].value


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run.toml"
    assert command(monkeypatch, "import-config", SCRIPT, "--out", out) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out)
    assert "$network_alpha" in said.err
    assert command(monkeypatch, "import-config", SCRIPT, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command(monkeypatch, "import-config", SCRIPT, "--out", out, "--overwrite") == 0
    capsys.readouterr()
    assert command(monkeypatch, "import-config", SCRIPT) == 0
    assert capsys.readouterr().out.strip() == out.read_text().strip()
    broken = tmp_path / "broken.ps1"
    broken.write_text(SCRIPT.read_text().replace("$network_dim = 32", "$network_dim = -1"))
    assert command(monkeypatch, "import-config", broken, "--out", tmp_path / "other.toml") == 2
    assert "lora.rank = -1" in capsys.readouterr().err
    assert not (tmp_path / "other.toml").exists()


def test_files_that_are_no_script(tmp_path):
    for name, text, said in (
        ("a.sh", "x=1", "ends with '.sh'"),
        ("a.ps1", "Write-Output 'x'", "sets no variable"),
        ("b.ps1", '$a = 1\n$b = "open\n', "line 2: a string or comment does not end"),
        ("c.ps1", "if ($a) {\n$b = 1", "ends inside a block"),
        ("d.ps1", "$a = 1 }", "line 1: a block ends"),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(FileError, match=said):
            import_config(ImportRequest(source=path))
    with pytest.raises(GeodiffError, match="no such file"):
        import_config(ImportRequest(source=tmp_path / "none.ps1"))


def test_statements_and_expressions():
    text = "$a = 'it''s' # x\n$b = \"a`\"b$a`n\"; $c = @(1,\n 2)\nif ($a) { $d = 1 } <# $e = 1\n #> $f = 1 `\n + 2"
    statements = read_statements(text, "x")
    assert [(s.text.split(" ")[0], s.line, s.depth) for s in statements] == [
        *(("$a", 1, 0), ("$b", 2, 0), ("$c", 2, 0), ("if", 4, 0), ("$d", 4, 1), ("$f", 5, 0)),
    ]
    values = {"a": "it's", "n": 3, "none": None}
    for expression, value in {
        "'it''s'": "it's",
        '"a`"b$a`n"': "a\"bit's\n",
        "@(1, 2)": [1, 2],
        "1, $n": [1, 3],
        "1 + 2.5": 3.5,
        "$null": None,
        "$True": True,
        '"[${n}]" + $none': "[3]",
        "[int]'4'": "4",
        "[System.Collections.ArrayList]::new()": [],
        "-1e-4": -1e-4,
    }.items():
        assert evaluate(expression, values) == value
    for expression in ("$unknown", "Get-Date", '"$(rm x)"', "1 * 2", "$a.Length", "(1", ""):
        with pytest.raises(NotPlain):
            evaluate(expression, values)


def test_published_layout_trains_and_draws_after_the_import(tmp_path, monkeypatch):
    """The published folders, files and commands on tiny weights: only the program's name is another."""
    models = tiny_models(transformer=tiny_transformer(sample_size=32, pos_embed_max_size=32))  # pictures of 512 pixels
    written = write_checkpoint(tmp_path / "written", models)
    for source, place in (
        (written.name, "Stable-diffusion/SD3/sd3.5_medium.safetensors"),
        (written.clip_l, "clip/clip_l.safetensors"),
        (written.clip_g, "clip/clip_g.safetensors"),
        (written.t5xxl, "clip/t5xxl_fp16.safetensors"),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, tmp_path / place)
    fill_cache(tmp_path / "hub", monkeypatch)
    write_chips_root(tmp_path, count=4)
    (tmp_path / "toml").mkdir()
    (tmp_path / "toml" / "qinglong.txt").write_text("aircraft --w 64 --h 64 --s 2\n")
    text = SCRIPT.read_text().replace("max_train_epoches = 100", "max_train_epoches = 2")
    (tmp_path / "train_sd35m_24GLora.ps1").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "import-config", "train_sd35m_24GLora.ps1", "--out", "run.toml") == 0
    assert command(monkeypatch, "train", "--config", "run.toml") == 0
    folder = tmp_path / "output" / "sd35m-test-lora-1e-4"
    assert read_toml(folder / "config.toml")["train"]["batch_size"] == 12
    assert len(list((folder / "samples").glob("*.png"))) == 2
    said = """--pretrained_model ./Stable-diffusion/SD3/sd3.5_medium.safetensors
        --lora_weights ./output/sd35m-test-lora-1e-4_*.safetensors --clip_l ./clip/clip_l.safetensors
        --clip_g ./clip/clip_g.safetensors --t5xxl ./clip/t5xxl_fp16.safetensors --enable_3d_fusion
        --pointcloud_dir ./3d_features --fusion_method hybrid_film_attn --pointcloud_path ./3d_features/1.pt
        --output_dir ./output/inference"""
    size = ("--width", "64", "--height", "64", "--sample_steps", "2")
    assert command(monkeypatch, "generate", *said.split(), "--prompt", "your prompt here", *size) == 0
    (picture,) = (tmp_path / "output" / "inference").glob("*.png")
    with Image.open(picture) as chip:
        assert chip.size == (64, 64)
        assert "hybrid_film_attn" in str(chip.info)
    base = BaseFiles("Stable-diffusion/SD3/sd3.5_medium.safetensors", *(Path(f"clip/{name}.safetensors") for name in
                     ("clip_l", "clip_g", "t5xxl_fp16")))  # fmt: skip
    loaded = load_base(base)
    adapter = load_adapter(
        resolve_adapter("./output/sd35m-test-lora-1e-4_*.safetensors"), loaded.transformer, loaded.hash
    )
    assert adapter.conditioning.summary()["gate/max"] > 0


def fill_cache(cache, monkeypatch):
    """The tokenizers in the hub's cache, in its own layout, as the published trainer leaves them."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    for repository, tokenizer in (
        ("openai--clip-vit-large-patch14", "tokenizer"),
        ("google--t5-v1_1-xxl", "tokenizer_3"),
    ):
        place = cache / f"models--{repository}"
        shutil.copytree(EMBEDDED["mini"] / tokenizer, place / "snapshots" / "0123")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("0123")
