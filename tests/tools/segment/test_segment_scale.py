"""How large a pixel is: each way in which files say it, one with a right value; and what is refused."""

import numpy as np
import pytest
import tifffile

from ftu.errors import InputError
from ftu.files import gdal
from ftu_tools.segment.slides import scale

IMAGE = np.zeros((32, 48, 3), np.uint8)


def tags_of(tmp_path, **facts):
    """The tags of a TIFF that tifffile writes, as GDAL reads them."""
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="rgb", **facts)
    with gdal.opened(tmp_path / "a.tif") as image:
        return image.tags()


def ome(**sizes):
    return {"ome": True, "metadata": {"axes": "YXS", **sizes}}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ome(PhysicalSizeX=250, PhysicalSizeXUnit="nm"), {"OME": (0.25, 0.25)}),  # y is silent
        (ome(PhysicalSizeX=0.25, PhysicalSizeY=0.5), {"OME": (0.25, 0.5)}),  # no unit: um
        (
            ome(PhysicalSizeX=0.00025, PhysicalSizeY=0.5, PhysicalSizeXUnit="mm", PhysicalSizeYUnit="µm"),
            {"OME": (0.25, 0.5)},
        ),
        (ome(PhysicalSizeX=3, PhysicalSizeXUnit="reference frame"), {}),
        (ome(), {}),
        (
            {"imagej": True, "resolution": (4, 2), "metadata": {"unit": "micron", "axes": "YXS"}},
            {"ImageJ": (0.25, 0.5)},
        ),
        ({"description": "Aperio Leica\r\n48x32|AppMag = 40|MPP = 0.2631"}, {"Aperio": (0.2631, 0.2631)}),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, {"TIFF resolution": (0.25, 0.5)}),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, {}),  # for a printer
        (
            ome(PhysicalSizeX=0.25) | {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"},
            {"OME": (0.25, 0.25), "TIFF resolution": (0.5, 0.5)},  # which of the two is for the user to say
        ),
        (
            ome() | {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"},
            {"TIFF resolution": (0.5, 0.5)},
        ),
        ({"description": "Aperio Leica\r\n48x32|AppMag = 40"}, {}),  # a magnification is no size
        ({}, {}),
    ],
)
def test_a_file_says_how_large_its_pixels_are(tmp_path, facts, expected):
    found = scale.stated(tags_of(tmp_path, **facts))
    assert found.keys() == expected.keys()
    for way, size in expected.items():
        assert found[way] == pytest.approx(size, rel=1e-5)


def test_what_the_file_says_counts_and_the_user_may_repeat_it():
    stated = {"OME": (0.25, 0.5)}
    assert scale.agreed("a", stated, None) == (0.25, 0.5)
    square = {"Aperio": (0.2631, 0.2631)}  # scanners' 40x are 0.22 to 0.27
    assert scale.agreed("a", square, 0.26) == (0.2631, 0.2631)
    assert scale.agreed("a", {}, 0.5) == (0.5, 0.5)


def test_the_user_decides_between_two_sizes_that_a_file_states():
    stated = {"Aperio": (0.25, 0.25), "TIFF resolution": (0.5, 0.5)}
    assert scale.agreed("a", stated, 0.5) == (0.5, 0.5)
    with pytest.raises(InputError, match=r"a: states two sizes .*Aperio: 0\.25.*resolution: 0\.5.*--um"):
        scale.agreed("a", stated, None)


@pytest.mark.parametrize(
    ("stated", "um", "said"),
    [
        ({}, None, r"a: does not say how large its pixels are; give --um"),
        ({"OME": (0.25, 0.25)}, 0.5, r"a: states another size .*0\.25.*--um 0\.5"),
        ({}, 0.0, r"--um: 0 is no size"),
        ({}, float("nan"), r"--um: nan is no size"),
    ],
)
def test_no_size_is_made_up(stated, um, said):
    with pytest.raises(InputError, match=said):
        scale.agreed("a", stated, um)
