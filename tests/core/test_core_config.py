from typing import ClassVar

import pytest
from pydantic import Field

from geodiff_sar.core.config import Options, PlainName, apply_overrides, dump_toml, load_options, parse_options
from geodiff_sar.core.errors import FileError, OptionError


class Inner(Options):
    rank: int = Field(default=4, ge=1)


class Outer(Options):
    name: str = "x"
    rate: float | None = None
    inner: Inner = Inner()


class Part(Options):
    value: int = 0
    items: tuple[int, ...] = ()


class Whole(Options):
    name: str = ""
    part: Part = Part()


def test_file_and_overrides(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('name = "run"\n[inner]\nrank = 2\n')
    options = load_options(Outer, path, ["inner.rank=8", "rate=1e-4", "name=plain text"])
    assert (options.inner.rank, options.rate, options.name) == (8, 1e-4, "plain text")


def test_toml_round_trip(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(dump_toml(Outer(rate=0.5)))
    assert load_options(Outer, path) == Outer(rate=0.5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"inner": {"rnk": 3}}, ["inner.rnk", "did you mean 'rank'"]),
        ({"inner": {"rank": 0}}, ["inner.rank", "greater than or equal to 1"]),
        ({"rate": float("nan")}, ["rate", "finite"]),
    ],
)
def test_mistakes_are_named(data, words):
    with pytest.raises(OptionError) as error:
        parse_options(Outer, data, "a.toml")
    assert all(word in str(error.value) for word in ["a.toml", "remedy", *words])


def test_unreadable_files(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        load_options(Outer, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(FileError, match="line 1"):
        load_options(Outer, tmp_path / "bad.toml")


@pytest.mark.parametrize("text", ["novalue", "=3", "a b=3"])
def test_malformed_override(text):
    with pytest.raises(OptionError, match="--set"):
        apply_overrides({}, [text])


class Named(Options):
    remedy: ClassVar[str] = "see the list"

    name: PlainName


def test_messages_name_their_source_and_remedy(tmp_path):
    (tmp_path / "a.toml").write_text("")
    with pytest.raises(OptionError, match=r"(?s)a\.toml with --set: .*see the list") as error:
        load_options(Named, tmp_path / "a.toml", ["name=a/b"])
    assert "plain name" in str(error.value)
    with pytest.raises(OptionError, match="the key 'name' is missing"):
        parse_options(Named, {}, "x")


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "a\\b", "", "/abs", "a\nb"])
def test_plain_names_lead_nowhere_else(name):
    with pytest.raises(OptionError, match="plain name"):
        parse_options(Named, {"name": name}, "x")


def test_a_file_extends_another(tmp_path):
    """Tables are merged, lists and values replaced, over any number of files in any folder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text('name = "a"\n[part]\nvalue = 1\nitems = [1, 2]\n')
    (tmp_path / "sub" / "middle.toml").write_text('extends = "../base.toml"\n[part]\nitems = [3]\n')
    (tmp_path / "last.toml").write_text('extends = "sub/middle.toml"\nname = "c"\n')
    loaded = load_options(Whole, tmp_path / "last.toml", ["part.value=7"])
    assert (loaded.name, loaded.part.value, loaded.part.items) == ("c", 7, (3,))
    (tmp_path / "base.toml").write_text('name = "a"\nnonsense = 1\n')
    with pytest.raises(
        OptionError, match=r"last\.toml, which extends .*middle\.toml, which extends .*base\.toml.*nonsense"
    ):
        load_options(Whole, tmp_path / "last.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "nowhere.toml"', r"(?s)nowhere\.toml.*check the path given to extends in a\.toml"),
        ("extends = 3", r"extends = 3"),
        ('extends = "b.toml"', r"(?s)b\.toml.*extends = \"a\.toml\", which extends this file"),
    ],
)
def test_what_cannot_be_extended(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(FileError, match=message):
        load_options(Whole, tmp_path / "a.toml")
