"""Odd image files and what else could decide over pixels, for pixels.yaml."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from PIL import Image, PngImagePlugin
from ruamel.yaml import YAML

import no_files
from ftu.datasets import image_files
from ftu.datasets.sample import write_histology
from imports import ROOT

RUN = ["decode", "resize"]


def project(folder: Path) -> None:
    """The parameters and a data set of four images, one of which has dark pixels, for masks to hide."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params["resize"]["side"] = 64
    yaml.dump(params, folder / "params.yaml")
    (folder / "data/sample").mkdir(parents=True)
    write_histology(folder / "data/sample", train=2, test=2, seed=0)
    image = pixels(folder)
    image[:, : image.shape[1] // 2] = image[:, : image.shape[1] // 2] // 8 * 8
    image[::3, ::3] = 0
    image_files.write_tiff(file(folder), image)


def file(folder: Path) -> Path:
    """The image that becomes odd."""
    return sorted((folder / "data/sample/test_images").iterdir())[0]


def pixels(folder: Path) -> np.ndarray:
    return image_files.read_image(file(folder))


def tiff(folder: Path, **profile: Any) -> None:
    """The same pixels as another TIFF, by options of GDAL's driver."""
    image = pixels(folder)
    height, width, _ = image.shape
    form = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(file(folder), "w", **form | profile) as written:
        written.write(np.moveaxis(image, -1, 0))


def overviews(folder: Path) -> None:
    """Overviews that are the negative of the image."""
    image = pixels(folder)
    image_files.write_tiff(file(folder), 255 - image)
    with rasterio.open(file(folder), "r+") as written:
        written.build_overviews([2, 4])
    with rasterio.open(file(folder), "r+") as written:
        written.write(np.moveaxis(image, -1, 0))


def sparse(folder: Path) -> None:
    """A TIFF without a single tile."""
    height, width, _ = pixels(folder).shape
    form = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        file(folder), "w", **form, photometric="RGB", sparse_ok=True, tiled=True, compress="lzw"
    ):
        pass


def masked(folder: Path, *, internal: bool) -> None:
    """A mask that calls half of the image invalid, in the file or beside it."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(file(folder), "r+") as image:
        mask = np.full(image.shape, 255, np.uint8)
        mask[:, : image.width // 2] = 0
        image.write_mask(mask)


def beside(folder: Path) -> None:
    """An .ovr of the negative, and an .aux.xml with a nodata value."""
    image, place = pixels(folder), file(folder)
    image_files.write_tiff(place, 255 - image)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(place, "r+") as written:
        written.build_overviews([2, 4])
    image_files.write_tiff(place, image)
    bands = "".join(
        f'<PAMRasterBand band="{n}"><NoDataValue>0</NoDataValue></PAMRasterBand>' for n in (1, 2, 3)
    )
    Path(f"{place}.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")


def saved(folder: Path, form: str, mode: str = "RGB", **options: Any) -> None:
    """As another program writes it, under the name that the data set has."""
    Image.fromarray(pixels(folder)).convert(mode).save(file(folder), format=form, **options)


def turned(folder: Path, form: str, value: int = 6) -> None:
    """With an orientation: TIFF's tag, EXIF in a JPEG, eXIf in a PNG."""
    exif = Image.Exif()
    exif[274] = value
    saved(folder, form, exif=exif)


def text(folder: Path, value: str) -> None:
    """A PNG whose text is taken for the tag of a TIFF."""
    info = PngImagePlugin.PngInfo()
    info.add_text("TIFFTAG_XRESOLUTION", value)
    info.add_text("TIFFTAG_RESOLUTIONUNIT", "2")
    saved(folder, "PNG", pnginfo=info)


def chunk(folder: Path, kind: str, content: str) -> None:
    """A PNG with one more chunk (kind, and content in hex) before its pixels."""
    saved(folder, "PNG")
    png, body = file(folder).read_bytes(), kind.encode() + bytes.fromhex(content)
    more = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    file(folder).write_bytes(png[:33] + more + png[33:])


def deep(folder: Path) -> None:
    """16 bits a band."""
    content = cv2.imencode(".tiff", pixels(folder).astype(np.uint16) * 257)[1]
    file(folder).write_bytes(content.tobytes())


def patched(folder: Path, tag: int, value: int) -> None:
    """Another value in a tag of one whole number, in a TIFF as the sample has it."""
    content = bytearray(file(folder).read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], 12):
        if struct.unpack_from("<H", content, place)[0] == tag:
            struct.pack_into("<I", content, place + 8, value)
    file(folder).write_bytes(content)


def hole(folder: Path, tag: int, value: int) -> None:
    """One place (273) or length (279) of a strip in the middle with another value."""
    tiff(folder, photometric="RGB", compress="lzw", blockysize=16)
    content = bytearray(file(folder).read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], 12):
        if struct.unpack_from("<H", content, place)[0] == tag:
            kind, _, array = struct.unpack_from("<HII", content, place + 2)
            struct.pack_into("<H" if kind == 3 else "<I", content, array + 3 * (2 if kind == 3 else 4), value)
    file(folder).write_bytes(content)


def half(folder: Path) -> None:
    """A compressed TIFF without its second half."""
    tiff(folder, photometric="RGB", compress="lzw")
    file(folder).write_bytes(file(folder).read_bytes()[: file(folder).stat().st_size // 2])


def no_file(folder: Path, kind: str) -> None:
    """Something that is no regular file, or a hole."""
    place = file(folder)
    place.unlink()
    no_files.put(place, kind)


def configured(folder: Path, name: str, content: str) -> None:
    """A file of settings in a home folder."""
    (folder / "home" / name).parent.mkdir(parents=True)
    (folder / "home" / name).write_text(content)
    half(folder)
