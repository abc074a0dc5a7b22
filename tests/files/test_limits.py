"""What is read of a file is bounded: no pipe, device or hole is waited for, or filled into memory."""

import os
import socket

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


@pytest.mark.parametrize(
    "read",
    [png.read_rgb, png.read_mask, png.rgb_shape, png.content, map_file.read],
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


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20])
def test_a_file_up_to_the_limit_is_read_whole(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert limits.content(tmp_path / "file", 2**20) == content
    with pytest.raises(OSError, match=f"File too large: {size} bytes"):
        limits.content(tmp_path / "file", size - 1)
