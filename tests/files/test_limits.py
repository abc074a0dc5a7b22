"""What is read of a file is bounded: no pipe, device or hole is waited for, or filled into memory."""

import os
import socket
from pathlib import Path

import pytest

from ftu.cache import entries, hashes
from ftu.errors import InputError
from ftu.files import csvfile, jsonfile, limits, png, yamlfile
from ftu.probabilities import map_file


@pytest.fixture(params=["pipe", "zero", "terminal", "socket", "hole", "folder", "endless", "nothing"])
def odd(request, tmp_path):
    """A path at which lies something else than a file of a reasonable size."""
    path = tmp_path / request.param
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        short = os.open(tmp_path, os.O_RDONLY)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{short}/socket")
        os.close(short)
    elif request.param == "hole":
        path.touch()
        os.truncate(path, 200 * 10**9)
    elif request.param == "folder":
        path.mkdir()
    elif request.param != "nothing":
        kinds = {"zero": "/dev/zero", "terminal": "/dev/tty", "endless": "/proc/self/pagemap"}
        path.symlink_to(kinds[request.param])
    return path


def test_every_reader_refuses_it_in_words(odd):
    with pytest.raises(OSError, match=r".+"):
        limits.content(odd, 2**20)
    for read in (
        csvfile.read_csv,
        lambda path: jsonfile.read(path, "way"),
        lambda path: yamlfile.read(path, "way"),
    ):
        with pytest.raises(InputError, match=f"{odd}: (cannot be read|is missing)"):
            read(odd)


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/pagemap", "/proc"])
def test_what_is_refused_stays_open_no_longer(path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=r".+"):
        limits.content(Path(path), 2**20)
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_says_that_it_is_empty_and_never_ends_is_soon_given_up():
    with pytest.raises(OSError, match=f"File too large: {2**21} bytes"):
        limits.content(Path("/proc/self/pagemap"), 2**30)


def test_a_text_holds_no_nul_not_as_its_first_byte_either():
    assert limits.text(b"a\n") == "a\n"
    for content, place in ((b"\0a", 0), (b"a\0", 1)):
        with pytest.raises(ValueError, match=f"byte {place} is NUL"):
            limits.text(content)


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (1, 1, ""),
        (0, 9, "a side of 0 x 9 px"),
        (9, 0, "a side of 9 x 0 px"),
        (10**6, 1, ""),
        (10**6 + 1, 1, "is not within 1 to 1000000"),
        (1, 10**6 + 1, "is not within 1 to 1000000"),
        (2**15, 2**15, ""),
        (2**15, 2**15 + 1, f"32768 x 32769 px (height x width) are {2**30 + 2**15}, more than the {2**30}"),
    ],
)
def test_a_size_is_worked_on_up_to_a_million_px_a_side_and_as_many_as_opencv_reads(height, width, words):
    fault = limits.size_fault(height, width)
    assert words in fault
    assert bool(fault) == bool(words)


def test_a_name_has_a_hundred_characters_at_most():
    assert limits.name_fault("a" * 100) == ""
    assert "has 101 characters; use 100 at most" in limits.name_fault("a" * 101)


@pytest.mark.parametrize("size", [0, 2**33, 2**33 + 1])
def test_an_images_file_has_8_gib_at_most(tmp_path, size):
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", size)
    assert limits.file_fault(tmp_path / "file") == (
        "" if size <= 2**33 else f"{size} bytes, more than {2**33}"
    )


@pytest.mark.parametrize(
    "read",
    [png.read_image, png.read_mask, png.image_shape, png.content, map_file.read],
    ids=lambda read: read.__name__,
)
def test_every_reader_of_pixels_refuses_it_in_words(odd, read):
    if odd.name != "endless":
        with pytest.raises(InputError, match=f"{odd}: is missing or damaged"):
            read(odd)


def test_no_entry_of_the_cache_is_waited_for(odd, tmp_path):
    place = entries.place(tmp_path / "items", "abcdef")
    place.parent.mkdir(parents=True)
    place.symlink_to(odd)
    assert entries.read(tmp_path / "items", "abcdef").payload is None


def test_no_pipe_or_device_is_hashed(odd):
    if odd.name not in ("hole", "endless"):
        with pytest.raises(OSError, match=r".+"):
            hashes.sha256(odd)


@pytest.mark.parametrize(
    ("read", "most"),
    [
        (csvfile.read_csv, 2**30),
        (lambda path: jsonfile.read(path, "way"), 2**26),
        (lambda path: yamlfile.read(path, "way"), 2**18),
    ],
    ids=["csv", "json", "yaml"],
)
def test_no_more_is_read_of_a_text_than_any_of_its_kind_has(tmp_path, read, most):
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", most + 1)  # a hole, of NULs
    with pytest.raises(InputError, match=rf"cannot be read \(File too large: {most + 1} bytes"):
        read(tmp_path / "file")


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20])
def test_a_file_up_to_the_limit_is_read_whole(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert limits.content(tmp_path / "file", 2**20) == content
    with pytest.raises(OSError, match=f"File too large: {size} bytes"):
        limits.content(tmp_path / "file", size - 1)
