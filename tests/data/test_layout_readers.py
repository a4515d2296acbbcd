"""Layouts of real data sets and of this tool's own output, and telling them apart."""

import json

import numpy as np
import pytest
import scipy.io
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.chip_set import read_chip_set
from geodiff_sar.data.pixels import AMPLITUDE, UNKNOWN_GRID, UNSPECIFIED, ChipGrid, PixelRemap
from geodiff_sar.data.readers import find_layout, read_samples
from geodiff_sar.data.recipe_facts import half_power_width
from geodiff_sar.geometry.radar import PRESETS
from geodiff_sar.sampling.recipe import write_chip
from phoenix_support import write_phoenix
from sicd_support import write_sicd
from support import SHARED, write_chips_root

pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")  # inside sarkit

ROOT = PixelRemap(kind="power", exponent=0.5, scaling="absolute")
CAPTION = "SAR image,T72,X-band,High,HH-Polarization,40.0"


def picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def simulated(radar="mstar-x", **remap):
    return {
        "kind": "simulated",
        "caption": CAPTION,
        "pose": {"azimuth_deg": 40.0, "depression_deg": 17.0},
        "radar": PRESETS[radar].model_dump(mode="json"),
        "remap": {"mode": "linear", "gain": 2.0, **remap},
    }


def test_mstar_folders(tmp_path):
    chip = np.ones((4, 4))
    write_phoenix(tmp_path / "17_DEG/T72/HB1.015", chip)
    write_phoenix(tmp_path / "17_DEG/ZSU/HB1.025", chip, TargetType="zsu23-4_gun", TargetAz="0.0")
    write_phoenix(tmp_path / "17_DEG/new/HB2", chip, TargetType="Leopard", TargetAz="359.9999", MeasuredDepression=None)
    (tmp_path / "README").write_text("about")
    (tmp_path / "index.txt").write_text("more")
    assert find_layout(tmp_path) == "mstar"
    samples = {sample.id: sample for sample in read_samples(tmp_path)}
    assert sorted(samples) == ["HB1.015", "HB1.025", "HB2"]
    t72 = samples["HB1.015"]
    assert t72.caption_text == "SAR image,T72,X-band,High,HH-Polarization,349.209"  # 360 - 10.790657
    assert t72.pose is not None
    assert (t72.pose.azimuth_deg, t72.pose.depression_deg) == (349.209, 17.09375)
    assert (t72.serial, t72.origin, t72.remap, t72.grid.range_direction) == ("S7", "measured", AMPLITUDE, "up")
    assert samples["HB1.025"].caption.target == "ZSU23-4"
    assert samples["HB1.025"].caption.azimuth_deg == 0.0
    other = samples["HB2"]
    assert other.pose is not None
    assert (other.caption.target, other.pose.azimuth_deg, other.pose.depression_deg) == ("Leopard", 0.0, 17.0)


def test_equal_names_in_two_folders_and_a_chip_without_azimuth(tmp_path):
    for folder in ("a", "b"):
        write_phoenix(tmp_path / folder / "HB1.015", np.ones((4, 4)), TargetAz=None)
    samples = read_samples(tmp_path)
    assert [sample.id for sample in samples] == ["a/HB1.015", "b/HB1.015"]
    assert samples[0].pose is None
    assert samples[0].caption_text == "SAR image,T72,X-band,High"


def test_a_broken_chip_among_mstar_chips_is_named(tmp_path):
    write_phoenix(tmp_path / "HB1.015", np.ones((4, 4)))
    (tmp_path / "HB2.015").write_bytes(b"\x00" * 500)
    with pytest.raises(FileError, match=r"HB2\.015: does not begin with a Phoenix header"):
        read_samples(tmp_path)
    write_phoenix(tmp_path / "HB2.015", np.ones((4, 4)), TargetAz="north")
    with pytest.raises(DataError, match="TargetAz is 'north'"):
        read_samples(tmp_path)


def describe(folder, text):
    (folder / "dataset.toml").write_text(text)


def test_a_description_maps_a_foreign_table(tmp_path):
    for name in ("one", "two"):
        picture(tmp_path / f"pics/{name}.png")
        picture(tmp_path / f"segments/{name}.png", level=1)
    (tmp_path / "labels.csv").write_text("img,vehicle,heading,site\none.png,T72,10,x\ntwo.png,BMP2,350.5,x\n")
    describe(
        tmp_path,
        """
        table = "labels.csv"
        pictures = "pics"
        masks = "segments"
        azimuth_convention = "counterclockwise"
        azimuth_offset_deg = 90
        origin = "measured"
        [columns]
        file_name = "img"
        target = "vehicle"
        azimuth = "heading"
        [constants]
        band = "X"
        polarisation = "VV"
        depression = 15
        serial = "n1"
        [remap]
        kind = "power"
        exponent = 0.5
        scaling = "absolute"
        [grid]
        range_direction = "down"
        pixel_range_m = 0.3
        """,
    )
    for root in (tmp_path, tmp_path / "dataset.toml"):
        one, two = read_samples(root)
        assert one.caption_text == "SAR image,T72,X-band,High,VV-Polarization,80.0"  # 90 - 10
        assert two.caption.azimuth_deg == 99.5  # 90 - 350.5 + 360
        assert two.pose is not None
        assert two.pose.depression_deg == 15
        assert (one.remap, one.grid, one.origin) == (
            ROOT,
            ChipGrid(range_direction="down", pixel_range_m=0.3),
            "measured",
        )
        assert (one.serial, one.mask_path) == ("n1", tmp_path / "segments/one.png")
    chips = read_chip_set(read_samples(tmp_path), "described")
    assert chips.masks is not None
    assert (chips.masks == 1).all()


def test_a_description_beside_metadata_rules(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(f'file_name,text\na.png,"{CAPTION}"\n')
    assert read_samples(tmp_path)[0].remap == UNSPECIFIED
    describe(tmp_path, '[remap]\nkind = "power"\nexponent = 0.5\nscaling = "absolute"\n')
    assert find_layout(tmp_path) == "described"
    assert read_samples(tmp_path)[0].remap == ROOT
    assert read_samples(tmp_path)[0].grid == UNKNOWN_GRID
    with pytest.raises(FileError, match="layout 'described' reads both"):
        read_samples(tmp_path, "table")


def test_a_description_of_the_published_layout(tmp_path):
    write_chips_root(tmp_path, count=3, features=True)
    describe(tmp_path, 'layout = "reference"\n[grid]\nrange_direction = "left"\n')
    samples = read_samples(tmp_path)
    assert len(samples) == 3
    assert all(s.grid.range_direction == "left" and s.prior_path is not None for s in samples)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("tabel = 'x.csv'", OptionError, "unknown key 'tabel'"),
        ("[columns]\nfile_name = 'file_name'\nazimut = 'a'", OptionError, "columns names .*azimut"),
        ("[columns]\ntarget = 'text'", OptionError, "has to name file_name"),
        ("[columns]\nfile_name = 'image'", DataError, "no row has the columns .*image"),
        ("[remap]\nkind = 'power'", OptionError, "exponent is given with kind"),
        ("[grid]\nrange_direction = 'north'", OptionError, "range_direction"),
        ("azimuth_convention = 'counterclockwise'", DataError, "metadata.csv:2.*captions state our azimuth"),
        ("masks = 'none'", FileError, "no such file"),
        ("pictures = 'none'", FileError, "no such folder"),
        ("layout = 'reference'\ntable = 'x.csv'", OptionError, "layout stands in place"),
        ("table = [", FileError, "not valid TOML"),
    ],
)
def test_mistakes_in_a_description(tmp_path, text, kind, words):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(f'file_name,text\na.png,"{CAPTION}"\n')
    describe(tmp_path, text)
    with pytest.raises(kind, match=f"(?s){words}"):
        read_samples(tmp_path)


def test_more_columns_of_a_table(tmp_path):
    picture(tmp_path / "a.png")
    row = {"file_name": "a.png", "text": CAPTION, "serial": 132, "mask": "m/a.png", "sensor_azimuth": -10}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    (sample,) = read_samples(tmp_path)
    assert (sample.serial, sample.mask_path, sample.sensor_azimuth_deg) == ("132", tmp_path / "m/a.png", 350.0)


def sample_tree(root):
    for remap in ("qpm", "decibel"):
        for kind in ("real", "synth"):
            for number in (10, 11):
                name = f"2s1_{kind}_A_elevDeg_015_azCenter_0{number}_22_serial_b01"
                picture(root / f"png_images/{remap}/{kind}/2s1/{name}.png")
                path = root / f"mat_files/{kind}/2s1/{name}.mat"
                path.parent.mkdir(parents=True, exist_ok=True)
                scipy.io.savemat(path, {"complex_img": np.full((4, 4), 3 + 4j), "range_pixel_spacing": 0.2})


def test_sample_folders_at_every_level(tmp_path):
    sample_tree(tmp_path)
    for folder, remap, origin in (
        ("png_images/qpm/real", "power", "measured"),
        ("png_images/qpm/synth/2s1", "power", "simulated"),
        ("png_images/decibel/real", "nonlinear", "measured"),
        ("mat_files/synth", "power", "simulated"),
    ):
        assert find_layout(tmp_path / folder) == "sample"
        samples = read_samples(tmp_path / folder)
        assert len(samples) == 2
        sample = samples[0]
        assert (sample.remap.kind, sample.origin, sample.serial) == (remap, origin, "B01")
        assert sample.caption.target == "2S1"
        assert sample.pose is not None
        assert (sample.pose.azimuth_deg, sample.pose.depression_deg) == (349.78, 15.0)  # 360 - 10.22
    (mat, _) = read_samples(tmp_path / "mat_files/real")
    assert (mat.remap, mat.grid.pixel_range_m) == (AMPLITUDE, 0.2)
    assert read_chip_set([mat], "mat").amplitude.max() == 5.0


@pytest.mark.parametrize("folder", ["", "png_images", "png_images/qpm", "mat_files"])
def test_sample_roots_with_several_kinds_are_refused(tmp_path, folder):
    sample_tree(tmp_path)
    with pytest.raises(DataError, match=r"several kinds of chips \(.*real.*synth"):
        read_samples(tmp_path / folder)


def test_sicd_folders_have_a_sensor_azimuth_and_no_pose(tmp_path):
    write_sicd(tmp_path / "T72/a.nitf", np.ones((4, 4), np.complex64), azimuth=200.0)
    assert find_layout(tmp_path) == "sicd"
    (sample,) = read_samples(tmp_path)
    assert (sample.pose, sample.sensor_azimuth_deg) == (None, 200.0)
    assert (sample.caption.target, sample.caption.polarisation) == ("T72", "HH")
    assert (sample.remap, sample.grid.range_direction) == (AMPLITUDE, "down")


def test_a_table_adds_the_aspect_to_sicd(tmp_path):
    write_sicd(tmp_path / "a.nitf", np.ones((4, 4), np.complex64), azimuth=200.0, graze=21.0)
    (tmp_path / "metadata.csv").write_text("file_name,target,band,resolution,azimuth\na.nitf,T72,X,High,33\n")
    (sample,) = read_samples(tmp_path)
    assert sample.pose is not None
    assert (sample.pose.azimuth_deg, sample.pose.depression_deg, sample.sensor_azimuth_deg) == (33.0, 21.0, 200.0)
    assert sample.caption_text == "SAR image,T72,X-band,High,HH-Polarization,33.0"
    assert sample.grid.pixel_range_m == 0.202


@pytest.mark.parametrize(
    ("remap", "expected"),
    [
        ({}, AMPLITUDE),
        ({"mode": "root"}, ROOT),
        ({"mode": "db", "range_db": 60.0}, PixelRemap(kind="db", range_db=60.0, scaling="absolute")),
    ],
)
def test_simulated_recipes(tmp_path, remap, expected):
    write_chip(tmp_path / "chips/a.png", np.ones((8, 8), np.float32), simulated(**remap))
    picture(tmp_path / "contact_sheet.png")
    assert find_layout(tmp_path) == "recipes"
    (sample,) = read_samples(tmp_path)
    assert (sample.remap, sample.origin, sample.caption_text) == (expected, "simulated", CAPTION)
    assert sample.pose is not None
    assert (sample.pose.azimuth_deg, sample.pose.depression_deg) == (40.0, 17.0)
    assert sample.grid.range_direction == "right"
    assert (sample.grid.pixel_range_m, sample.grid.pixel_cross_range_m) == (0.202, 0.203)
    assert sample.grid.resolution_range_m == pytest.approx(0.301, abs=0.002)  # as the headers of the real chips say


def test_widths_of_windows():
    assert half_power_width(20.0, 2) < half_power_width(35.0, 5) < half_power_width(60.0, 10)
    # Harris, Proc. IEEE 66 (1978): a rectangular band has 0.886; a Taylor window of low sidelobes is wider
    assert 0.886 < half_power_width(20.0, 2) < 1.05
    assert half_power_width(35.0, 5) == pytest.approx(1.19, abs=0.01)


def test_generated_recipes_know_the_pixels_of_the_training(tmp_path):
    known = {"remap": ROOT.model_dump(), "grid": {"range_direction": "up", "pixel_range_m": 0.2}}
    base = {"kind": "chip", "caption": CAPTION, "pose": {"azimuth_deg": 40.0, "depression_deg": None}}
    write_chip(tmp_path / "new.png", np.ones((8, 8), np.float32), {**base, "pixels": known})
    write_chip(tmp_path / "old.png", np.ones((8, 8), np.float32), {**base, "pose": None})
    new, old = read_samples(tmp_path)
    assert (new.remap, new.grid) == (ROOT, ChipGrid(range_direction="up", pixel_range_m=0.2))
    assert (old.remap, old.grid, old.origin) == (UNSPECIFIED, UNKNOWN_GRID, "generated")
    assert old.pose is not None
    assert old.pose.azimuth_deg == 40.0


def test_pictures_without_recipe_are_named(tmp_path):
    write_chip(tmp_path / "a.png", np.ones((8, 8), np.float32), simulated())
    picture(tmp_path / "generated_sheet.png")
    assert len(read_samples(tmp_path)) == 1
    picture(tmp_path / "holiday.png")
    with pytest.raises(FileError, match=r"1 PNGs hold no recipe of a chip: .*holiday\.png"):
        read_samples(tmp_path)


def test_damaged_recipes(tmp_path):
    write_chip(tmp_path / "a.png", np.ones((8, 8), np.float32), {**simulated(), "radar": {"rows": -1}})
    with pytest.raises(OptionError, match=r"recipe in .*a\.png"):
        read_samples(tmp_path)
    write_chip(tmp_path / "a.png", np.ones((8, 8), np.float32), simulated(mode="cube"))
    with pytest.raises(DataError, match="its recipe is damaged"):
        read_samples(tmp_path)
    write_chip(tmp_path / "a.png", np.ones((8, 8), np.float32), {**simulated(), "pose": {"azimuth_deg": 400}})
    with pytest.raises(DataError, match="the pose of its recipe"):
        read_samples(tmp_path)


def test_a_table_takes_the_pixels_of_simulated_chips(tmp_path):
    write_chip(tmp_path / "chips/a.png", np.ones((8, 8), np.float32), simulated())
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "chips/a.png", "text": CAPTION}))
    assert find_layout(tmp_path) == "table"
    (sample,) = read_samples(tmp_path)
    assert (sample.remap, sample.origin, sample.grid.range_direction) == (AMPLITUDE, "simulated", "right")


def test_captions_beside_generated_chips_keep_the_published_layout(tmp_path):
    write_chip(tmp_path / "cls/a.png", np.ones((8, 8), np.float32), simulated())
    (tmp_path / "cls/a.txt").write_text(CAPTION)
    assert find_layout(tmp_path) == "reference"


def test_a_folder_of_two_layouts_has_to_be_named(tmp_path):
    write_phoenix(tmp_path / "HB1.015", np.ones((4, 4)))
    write_sicd(tmp_path / "x/a.nitf", np.ones((4, 4), np.complex64))
    with pytest.raises(FileError, match="looks like each of the layouts mstar, sicd"):
        read_samples(tmp_path)
    assert [s.id for s in read_samples(tmp_path, "mstar")] == ["HB1.015"]


@pytest.mark.skipif(not (SHARED / "data/mstar17").is_dir(), reason="the shared data are absent")
def test_layouts_of_the_shared_data():
    expected = {"mstar_raw": "mstar", "mstar17": "manifest", "mstar17/enhanced": "manifest", "geodiff10": "reference"}
    assert {name: find_layout(SHARED / "data" / name) for name in expected} == expected
