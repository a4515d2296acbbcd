import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.caption import Caption, CaptionOptions, augment_caption, parse_caption

TEXT = "SAR image,Pilatus PC 12,Ku-band,High,VV-Polarization,0.0"


@given(
    st.text("ABCxyz 0129-", min_size=1).filter(lambda t: t.strip() == t),
    st.sampled_from(["X", "Ku", "C"]),
    st.sampled_from(["High", "Low"]),
    st.sampled_from(["HH", "HV", "VH", "VV"]),
    st.integers(0, 359_999).map(lambda n: n / 1000),
)
def test_print_and_parse_are_inverse(target, band, resolution, polarisation, azimuth):
    caption = Caption(target, band, resolution, polarisation, azimuth)
    assert parse_caption(str(caption)) == caption


def test_published_captions_are_printed_back():
    assert str(parse_caption(TEXT)) == TEXT
    assert str(parse_caption("SAR image,Warship 1,C-band,High")) == "SAR image,Warship 1,C-band,High"
    assert str(parse_caption(TEXT).with_azimuth(37.25)).endswith(",37.25")


@pytest.mark.parametrize(
    "text",
    ["", "aircraft", TEXT + ",1", TEXT.replace("0.0", "360"), TEXT.replace("VV", "XX"), TEXT.replace("Ku-band", "Ku"),
     TEXT.replace("High", "Medium"), TEXT.replace("Pilatus PC 12", ""), TEXT.replace("0.0", "-3")],
)  # fmt: skip
def test_what_does_not_parse_names_file_and_rule(text):
    with pytest.raises(DataError) as error:
        parse_caption(text, "chips/1.txt")
    assert "chips/1.txt" in str(error.value)
    assert "<target>" in str(error.value)


def test_short_caption_has_no_azimuth_to_set():
    with pytest.raises(DataError, match="six fields"):
        parse_caption("SAR image,Warship 1,C-band,High").with_azimuth(3.0)


def test_shuffling_keeps_the_first_fields_and_all_others():
    options = CaptionOptions(dropout_rate=0.0, shuffle=True, keep_tokens=2)
    seen = {augment_caption(TEXT, options, np.random.default_rng(k), 0) for k in range(40)}
    assert len(seen) > 5
    for text in seen:
        assert text.split(",")[:2] == ["SAR image", "Pilatus PC 12"]
        assert sorted(text.split(",")) == sorted(TEXT.split(","))


def test_separators_of_the_published_trainer():
    options = CaptionOptions(dropout_rate=0.0, shuffle=True)
    out = augment_caption("a, b ||| c, d;;;e ||| f", options, np.random.default_rng(0), 0)
    fields = out.split(",")
    assert fields[:2] == ["a", "b"]
    assert fields[-1] == "f"
    assert "d,e" in out


def test_dropout_rate_is_the_rate():
    options = CaptionOptions(dropout_rate=0.3)
    dropped = sum(augment_caption(TEXT, options, np.random.default_rng(k), 0) == "" for k in range(2000))
    assert 540 < dropped < 660
    kept = CaptionOptions(dropout_rate=0.0)
    assert augment_caption(TEXT, kept, np.random.default_rng(0), 0) == TEXT


def test_dropping_every_second_epoch():
    options = CaptionOptions(dropout_rate=0.0, dropout_every_n_epochs=2)
    seen = [augment_caption(TEXT, options, np.random.default_rng(0), epoch) for epoch in range(4)]
    assert seen == [TEXT, "", TEXT, ""]


def test_separators_of_shuffling_are_parsed_as_commas():
    assert parse_caption("SAR image|||Pilatus PC 12,Ku-band;;;High,VV-Polarization,0") == parse_caption(TEXT)
