"""Laws of the synthetic images: reproducible, well formed, and not solved by colour or by one guess."""

import cv2
import numpy as np
import pytest

from ftu.datasets.synthetic.histology import ORGANS, STAINS, draw

ALL = [(organ, source) for organ in ORGANS for source in STAINS]


def drawn(organ="kidney", source="HPA", *, height=200, width=200, pixel_size=5.0, seed=0):
    rng = np.random.default_rng(seed)
    return draw(organ, source, height=height, width=width, pixel_size=pixel_size, rng=rng)


def density(image):
    return -np.log((image.astype(float) + 1) / 256).sum(-1)


def otsu(image):
    """The denser class of the image's optical density."""
    scaled = (255 * density(image) / density(image).max()).astype(np.uint8)
    return cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def dice(guess, mask):
    return 2 * (guess * mask).sum() / (guess.sum() + mask.sum())


@pytest.fixture(scope="module")
def hpa():
    return {organ: [drawn(organ, seed=seed) for seed in range(6)] for organ in ORGANS}


@pytest.mark.parametrize(("organ", "source"), ALL)
def test_an_image_and_a_mask_of_the_size_asked_for(organ, source):
    image, mask = drawn(organ, source, height=130, width=190)
    assert (image.shape, image.dtype) == ((130, 190, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((130, 190), np.uint8)
    assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize(("organ", "source"), ALL)
def test_the_seed_fixes_every_byte(organ, source):
    first, again, other = (drawn(organ, source, seed=seed) for seed in (3, 3, 4))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.tobytes() == same.tobytes()
        assert one.tobytes() != different.tobytes()


def test_the_number_of_threads_changes_nothing():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = drawn("prostate")
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(alone[0], drawn("prostate")[0])


@pytest.mark.parametrize("organ", ORGANS)
def test_most_of_a_core_is_tissue_and_its_corners_are_not(organ, hpa):
    for image, mask in hpa[organ]:
        assert (image.min(axis=-1) < 220).mean() > 0.7
        assert image[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 200
        assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_a_hubmap_section_fills_the_image():
    image, _ = drawn("spleen", "Hubmap")
    assert image.min(axis=-1)[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 225


@pytest.mark.parametrize("organ", ORGANS)
def test_ftus_take_up_a_minor_share(organ, hpa):
    assert 0.05 < np.mean([mask.mean() for _, mask in hpa[organ]]) < 0.30


def test_calling_everything_an_ftu_scores_low(hpa):
    assert np.mean([dice(np.ones_like(mask), mask) for cores in hpa.values() for _, mask in cores]) < 0.45


def test_a_threshold_on_density_scores_low(hpa):
    assert np.mean([dice(otsu(image), mask) for cores in hpa.values() for image, mask in cores]) < 0.45


def test_an_ftu_keeps_its_size_in_micrometres():
    def area(pixel_size):
        side = round(1000 / pixel_size)
        size = {"height": side, "width": side, "pixel_size": pixel_size}
        return np.mean([drawn("lung", "Hubmap", seed=seed, **size)[1].mean() for seed in range(4)])

    assert area(2.5) == pytest.approx(area(6.263), rel=0.05)


@pytest.mark.parametrize("source", STAINS)
def test_stain_vectors_have_unit_length(source):
    for stains in STAINS[source]:
        np.testing.assert_allclose(np.linalg.norm(stains, axis=1), 1)


def test_hubmap_is_stained_in_more_than_one_way():
    means = np.array([drawn("kidney", "Hubmap", seed=seed)[0].mean(axis=(0, 1)) for seed in range(8)])
    assert np.ptp(means[:, 2] - means[:, 0]) > 20


def test_an_unknown_organ_is_refused_with_the_options():
    with pytest.raises(ValueError, match=r"organ 'liver'.*kidney, largeintestine"):
        drawn("liver")


def test_an_unknown_data_source_is_refused_with_the_options():
    with pytest.raises(ValueError, match=r"data source 'hubmap'.*HPA, Hubmap"):
        drawn("lung", "hubmap")


def test_a_field_of_view_without_room_for_an_ftu_is_refused():
    with pytest.raises(ValueError, match="160 to 160 µm"):
        drawn(height=400, width=400, pixel_size=0.4)
