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
