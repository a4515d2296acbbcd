import json

import pytest

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.sampling.prompts import load_prompts, parse_azimuths, parse_prompt_line

CAPTION = "SAR image,Kodiak 100,Ku-band,High,VH-Polarization,0.0"


def test_all_flags():
    line = (
        f"{CAPTION} --w 128 --h 96 --d 7 --s 28 --L 4.5 --n Real image --pc my clouds/7.pt --ref a.png --az 30 --dep 35"
    )
    prompt = parse_prompt_line(line, "p.txt:1")
    assert prompt.prompt == CAPTION
    assert (prompt.width, prompt.height, prompt.seed, prompt.sample_steps, prompt.scale) == (128, 96, 7, 28, 4.5)
    assert (prompt.negative_prompt, prompt.pointcloud_path) == ("Real image", "my clouds/7.pt")
    assert (prompt.reference, prompt.azimuth, prompt.depression) == ("a.png", 30.0, 35.0)


def test_random_seed_and_dashes_inside_words():
    prompt = parse_prompt_line("a--b --d -1", "x")
    assert (prompt.prompt, prompt.seed) == ("a--b", None)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--x 3", "unknown flag --x"),
        ("--cn a.png", "unknown flag --cn"),
        ("--w 512.5", "takes a whole number"),
        ("--w wide", "takes a whole number"),
        ("--l", "takes a number"),
        ("--s 5000", "sample_steps"),
        ("--d -2", "seed"),
        ("--az 360", "azimuth"),
        ("--pc", "takes a value"),
        ("--w 8 --w 16", "given twice"),
    ],
)
def test_bad_flags_name_file_and_line(tmp_path, flag, words):
    path = tmp_path / "p.txt"
    path.write_text(f"# comment\n\n{CAPTION}\n{CAPTION} {flag}\n")
    with pytest.raises(OptionError, match=words) as error:
        load_prompts(path)
    assert "p.txt:4" in str(error.value)


def test_three_kinds_of_files(tmp_path):
    (tmp_path / "p.txt").write_text(f"\ufeff{CAPTION} --d 3\n", encoding="utf-8")
    (tmp_path / "p.json").write_text(json.dumps([f"{CAPTION} --d 3", {"prompt": CAPTION, "seed": 3}]))
    (tmp_path / "p.toml").write_text(f'[prompt]\nseed = 3\n[[prompt.subset]]\nprompt = "{CAPTION}"\n')
    expected = parse_prompt_line(f"{CAPTION} --d 3", "x")
    assert load_prompts(tmp_path / "p.txt") == [expected]
    assert load_prompts(tmp_path / "p.json") == [expected, expected]
    assert load_prompts(tmp_path / "p.toml") == [expected]


def test_files_without_prompts(tmp_path):
    for name, content, kind in (
        ("none.txt", None, FileError),
        ("empty.txt", "", FileError),
        ("comment.txt", "# nothing\n", FileError),
        ("p.csv", "a", FileError),
        ("bad.json", "{", FileError),
        ("dict.json", "{}", DataError),
        ("number.json", "[3]", DataError),
        ("unknown.json", '[{"prompt": "a", "sed": 3}]', OptionError),
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(kind, match=name):
            load_prompts(tmp_path / name)


def test_azimuths():
    assert parse_azimuths("0:360:90") == [0.0, 90.0, 180.0, 270.0]
    assert parse_azimuths("0:10:2.5") == [0.0, 2.5, 5.0, 7.5]
    assert parse_azimuths("350, 10.5") == [350.0, 10.5]
    assert len(parse_azimuths("0:360:0.1")) == 3600
    for text in ("", "0:361:1", "10:5:1", "0:90:0", "0:90", "a,b", "-5,3"):
        with pytest.raises(OptionError, match="--azimuths"):
            parse_azimuths(text)


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("a.txt", "--w 32\n", OptionError, "prompt = ''"),
        ("a.txt", "a plane\nSAR image,A\n", DataError, r"a\.txt:2: caption"),
        ("a.json", '["SAR image,A"]', DataError, r"a\.json\[0\]: caption"),
        ("a.toml", 'prompt = "a"\n', DataError, "'prompt' is 'a'"),
        ("a.toml", "x = 1\n", DataError, r"unknown keys \['x'\]"),
        ("a.toml", '[prompt]\nsubset = ["a"]\n', DataError, "subset' is"),
        ("a.toml", '[prompt]\nsubset = {prompt = "a"}\n', DataError, "subset' is"),
    ],
)
def test_malformed_prompts(tmp_path, name, content, kind, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(kind, match=words):
        load_prompts(tmp_path / name)


@pytest.mark.parametrize("text", ["0:inf:1", "0:360:1e-9", "-inf:0:1", "0:400:100", "nan:1:1", "0:1e300:1"])
def test_impossible_sweeps(text):
    with pytest.raises(OptionError, match="--azimuths"):
        parse_azimuths(text)
