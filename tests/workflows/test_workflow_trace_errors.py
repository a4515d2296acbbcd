"""What users get wrong when they trace 3D models: one error in words, exit code 2, nothing lost."""

import pytest
from tracing_cases import SMALL_ARGUMENTS, chips, command, hashes, priors, small, write_box

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.image import load_chip
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.workflows import tracing
from geodiff_sar.workflows.prior import SHEET_SIDE, thumbnail
from geodiff_sar.workflows.trace_checks import fitting_workers
from geodiff_sar.workflows.tracing import make_plan

MESH = "BOX"
WRONG = {
    "angle beyond the circle": (["tank:1", "--azimuths", "0:400:10"], "--azimuths: 0:400:10"),
    "azimuth 360": (["tank:1", "--azimuths", "360"], "0 <= azimuth < 360"),
    "negative azimuth": (["tank:1", "--azimuths=-5"], "0 <= azimuth < 360"),
    "azimuth NaN": (["tank:1", "--azimuths", "nan"], "--azimuths: nan"),
    "azimuth twice": (["tank:1", "--azimuths", "10,10"], "every azimuth once"),
    "azimuths with one name": (["tank:1", "--azimuths", "0.0001,0.0002"], "2 poses with 1 names"),
    "azimuth that rounds to 360": (["tank:1", "--azimuths", "359.9999"], "below 360 with the three decimals"),
    "depression 0": (["tank:1", "--depression", "0"], "0 < depression < 90"),
    "depression 90": (["tank:1", "--depression", "90"], "0 < depression < 90"),
    "straight down": (["tank:1", "--depression", "89.99999"], "0.1 to 89.9 degrees"),
    "depression NaN": (["tank:1", "--depression", "nan"], "finite number"),
    "depression in words": (["tank:1", "--depression", "30,abc"], "--depression: '30,abc'"),
    "gap in a list": (["tank:1", "--depression", "30,,40"], "--depression: '30,,40'"),
    "depressions with one name": (["tank:1", "--depression", "30,30.000001"], "2 poses with 1 names"),
    "small letters": (["tank:1", "--polarisations", "hh"], "polarisations: 'hh'"),
    "no polarisation": (["tank:1", "--polarisations", ""], "--polarisations: ''"),
    "polarisation twice": (["tank:1", "--polarisations", "HH,HH"], "every value once"),
    "unknown radar": (["tank:1", "--radar", "foo"], "--radar: 'foo'"),
    "radar file missing": (["tank:1", "--radar", "foo.toml"], "check the path given to --radar"),
    "malformed override": (["tank:1", "--radar-set", "rows"], "--radar-set: 'rows'"),
    "too many rows": (["tank:1", "--radar-set", "rows=1e9"], "less than or equal to 8192"),
    "pixel beyond the resolution": (["tank:1", "--radar-set", "pixel_range_m=0.5"], "at most one resolution cell"),
    "no bandwidth": (["tank:1", "--radar-set", "bandwidth_hz=0"], "greater than 0"),
    "bandwidth NaN": (["tank:1", "--radar-set", "bandwidth_hz=nan"], "finite number"),
    "comma in the band": (["tank:1", "--radar-set", "band=Ku,X"], "band = 'Ku,X'"),
    "texture longer than any scene": (["tank:1", "--radar-set", "texture_length_m=1e9"], "less than or equal to 1000"),
    "unknown setting": (["tank:1", "--set", "trace.foo=1"], "unknown key 'trace.foo'"),
    "too many rays": (["tank:1", "--set", "trace.rays=1e12"], "less than or equal to 100000000"),
    "rays closer than atoms": (["tank:1", "--set", "trace.spacing_m=1e-9"], "GiB"),
    "rays farther than the target": (["tank:1", "--set", "trace.spacing_m=1000"], "1,000 to 100,000,000 rays"),
    "seed beyond 32 bits": (["tank:1", "--set", f"trace.seed={10**20}"], "less than 4294967296"),
    "voxel without a side": (["tank:1", "--set", "cloud.voxel_m=[0,0.1,0.1]"], "greater than or equal to 0.005"),
    "unknown engine": (["tank:1", "--set", "engine=foo"], "a ray engine: embree, fused"),
    "unknown format": (["tank:1", "--format", "pt,foo"], "--format: foo"),
    "format twice": (["tank:1", "--format", "pt,pt"], "every format once"),
    "no workers": (["tank:1", "--workers", "0"], "--workers: 0"),
    "seed of a model": (["tank:-1"], "tank:<seed>"),
    "seed in words": (["vehicle:abc"], "seeds are whole numbers"),
    "seed too long": (["vehicle:99999999999999999999"], "seeds are whole numbers"),
    "name longer than any file's": (["x" * 300], "target: 'xxx"),
    "comma in the label": (["tank:1", "--label", "T 72, green"], "label: 'T 72, green'"),
    "separator in the label": (["tank:1", "--label", "a|||b"], "label: 'a|||b'"),
    "label without letters of file names": (["tank:1", "--label", "戦車"], "letters a to z or digits"),
    "endless label": (["tank:1", "--label", "x" * 200], "at most 100 characters"),
    "mesh option for a model": (["tank:1", "--unit", "mm"], "given for the parametric model tank:1"),
    "no such mesh": (["missing.obj"], "missing.obj: no such file"),
    "format that is not read": (["missing.dae"], "'.dae'"),
    "two factors": ([MESH, "--scale", "1,2"], "three factors"),
    "negative factor": ([MESH, "--scale=-1,1,1"], "greater than or equal to 0.01"),
    "unknown unit": ([MESH, "--unit", "yards"], "options of the mesh file: unit = 'yards'"),
    "wrong unit": ([MESH, "--unit", "mm"], "between 0.5 and 200 m"),
    "nose is up": ([MESH, "--nose", "+x", "--up=-x"], "perpendicular"),
    "part that is not there": ([MESH, "--drop", "glass"], "'glass'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_line(case, tmp_path, monkeypatch, capsys):
    arguments, words = WRONG[case]
    box = write_box(tmp_path / "box.obj")
    arguments = [str(box) if argument == MESH else argument for argument in arguments]
    assert command(monkeypatch, "prior", "--out", tmp_path / "out", *SMALL_ARGUMENTS, *arguments) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert "rule:" in printed
    assert "remedy:" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()


def test_wrong_simulations(tmp_path):
    with pytest.raises(OptionError, match="at least one target"):
        chips(tmp_path, targets=[])
    with pytest.raises(OptionError, match=r"a, a.*\n.*\n.*under \[\[targets\]\]"):
        chips(tmp_path, targets=[{"source": "tank:1", "label": "A"}, {"source": "tank:2", "label": "a"}])
    assert not list(tmp_path.iterdir())


def test_negative_seeds_and_other_wrong_configurations(tmp_path, monkeypatch, capsys):
    def fails(text: str, words: str) -> None:
        config = tmp_path / "config.toml"
        config.write_text(text)
        assert command(monkeypatch, "simulate", "--config", config, "--out", tmp_path / "out") == 2
        printed = capsys.readouterr().err
        assert words in printed
        assert "after validation" not in printed

    fails("seeds = [-1]", "seeds.0 = -1")
    fails("azimut = '0'", "did you mean 'azimuths'")
    fails("azimuths = = 0", "not valid TOML")
    fails("targets = 'tank:1'", "targets = 'tank:1'")
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_filled(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    before = hashes(tmp_path)
    for place, words in (("file", "is a file"), ("file/below", "is a file"), ("foreign", "is not empty")):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=words):
                priors(tmp_path / place, azimuths="0", overwrite=overwrite)
    assert hashes(tmp_path) == before


def test_a_run_that_failed_at_once_does_not_keep_the_folder(tmp_path):
    plate = tmp_path / "plate.obj"
    plate.write_text("v 0 -1 0\nv 0 1 0\nv 0 1 2\nv 0 -1 2\nf 1 2 3 4\n")
    target = [{"source": str(plate)}]
    with pytest.raises(DataError, match=r"nothing scatters back at azimuth 90\.0.*\n.*\n.*leave this pose out"):
        priors(tmp_path / "out", targets=target, azimuths="90")
    with pytest.raises(DataError, match=r"no return in polarisation HV at azimuth 0\.0, depression 30"):
        priors(tmp_path / "out", targets=target, azimuths="0", polarisations=["HV"])
    priors(tmp_path / "out", targets=target, azimuths="0", prior={"trace": {"rays": 10_000}})


def test_a_damaged_mark_is_named(tmp_path):
    priors(tmp_path, azimuths="0")
    (tmp_path / "trace.json").write_text("{")
    with pytest.raises(OptionError, match=r"mark trace\.json is damaged"):
        priors(tmp_path, azimuths="0")
    priors(tmp_path, azimuths="0", overwrite=True)
    with pytest.raises(OptionError, match="by the other command"):
        chips(tmp_path, azimuths="0")


def test_below_the_ground(tmp_path, capsys):
    for depth, wholly in ((-50.0, True), (-0.5, False)):
        box = write_box(tmp_path / "box.obj", offset=(0, 0, depth))
        config = small(targets=[{"source": str(box), "mesh": {"ground": False}}])
        if wholly:
            with pytest.raises(DataError, match=r"lies wholly below the ground: z from -50\.00"):
                make_plan(config)
        else:
            make_plan(config)
            assert "below the ground" in capsys.readouterr().err


def test_memory_is_asked_for_before_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("geodiff_sar.workflows.trace_checks.memory_bytes", lambda: 10 * 2**30)
    monkeypatch.setattr("geodiff_sar.workflows.trace_checks.processors", lambda: 16)
    assert fitting_workers(None, 100, 3 * 2**30) == 2
    assert fitting_workers(None, 1, 2**30) == 1
    assert fitting_workers(4, 100, 2**30) == 4
    with pytest.raises(OptionError, match=r"9.0 GiB\n.*80% of the 10.0 GiB"):
        fitting_workers(None, 100, 9 * 2**30)
    with pytest.raises(OptionError, match=r"4.0 GiB each for 3 poses.*\n.*\n.*fewer --workers"):
        fitting_workers(3, 100, 4 * 2**30)
    with pytest.raises(OptionError, match="a pose needs about"):
        priors(tmp_path / "out", prior={"trace": {"rays": 100_000_000}})
    assert not (tmp_path / "out").exists()

    large = write_box(tmp_path / "hall.obj", size=(190, 190, 40))
    hall = [{"source": str(large), "mesh": {"unit": "m"}}]
    for details in ({"per_m2": 1000}, {"per_m2": 1, "part_factors": {"*": 1000}}):
        with pytest.raises(OptionError, match=r"scatterers, which need .* GiB"):
            make_plan(small(targets=hall, prior={"details": details}))
    pixels = ["pixel_range_m=0.006", "pixel_cross_range_m=0.006"]
    with pytest.raises(OptionError, match=r"depth buffer over 'hall' would have .* GiB"):
        make_plan(small(targets=hall, radar_set=pixels))


def test_warming_up_does_not_depend_on_settings_of_the_trace(monkeypatch):
    monkeypatch.setattr(tracing, "is_compiled", lambda kernel: True)
    plan = make_plan(small(azimuths="0", prior={"trace": {"prune": 0.999}}))
    tracing.warm_up(plan.radar, plan.config.prior)


def test_optional_values_of_a_radar_are_switched_off_by_none():
    assert load_radar("uav-ku", ["texture_shape=none"]).texture_shape is None


def test_large_chips_are_shrunk_on_the_sheet(tmp_path):
    from PIL import Image

    Image.new("L", (3 * SHEET_SIDE + 1, 40), 100).save(tmp_path / "chip.png")
    assert load_chip(tmp_path / "chip.png").shape == (40, 3 * SHEET_SIDE + 1)
    assert thumbnail(tmp_path / "chip.png").shape == (10, (3 * SHEET_SIDE + 1) // 4)
