"""Folders of images that are not what they should be."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.data.refusals import TOO_LARGE, assert_refused


def png(width, height, pixels=None):
    """Return a PNG of grey pixels, whose header may say what is not there."""

    def chunk(kind, content):
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    rows = zlib.compress(b"\0" * (width + 1) * height if pixels is None else pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def images(path, *, classes=2, **more):
    for name in "ab"[:classes]:
        (path / name).mkdir(parents=True)
        for place in range(6):
            (path / name / f"{place}.png").write_bytes(png(4, 3))
    for name, content in more.items():
        (path / "b" / f"{name}.png").write_bytes(content)


# what is written, the name of the file, flags, and the message
CASES = {
    "one class": (
        lambda path: images(path, classes=1),
        "images",
        (),
        "is a folder with 1 folders in it; expected one of images for each class, two at least",
    ),
    "no images": (
        lambda path: [path.joinpath(name).mkdir(parents=True) for name in "ab"],
        "images",
        (),
        "the folder 'a' holds no image (.png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff, .webp, .pgm, "
        ".ppm); name the folder whose folders are the classes",
    ),
    "a broken image": (
        lambda path: images(path, broken=png(4, 3)[:44]),
        "images",
        (),
        "the image b/broken.png cannot be read: ",
    ),
    "an image that is none": (
        lambda path: images(path, none=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n"),
        "images",
        (),
        "the image b/none.png cannot be read: UnidentifiedImageError: ",
    ),
    "images of two sizes": (
        lambda path: images(path, x=png(5, 3)),
        "images",
        (),
        "the images a/0.png and b/x.png differ: 3 rows, 4 columns, grey and 3 rows, 5 columns, "
        "grey; make all of one size, and all grey or all in colour",
    ),
    "an image that unpacks to 10 GB": (
        lambda path: images(path, bomb=png(10**5, 10**5, b"")),
        "images",
        (),
        "the image b/bomb.png cannot be read: DecompressionBombError: ",
    ),
    "images that unpack to 3 GB": (
        lambda path: [
            (path / name).mkdir(parents=True)
            or [(path / name / f"{i}.png").write_bytes(png(8000, 8000, b"")) for i in range(6)]
            for name in "ab"
        ],
        "images",
        (),
        f"unpacks to 2,930 MB, and {TOO_LARGE}",
    ),
    "images of 16 bits": (
        lambda path: (
            images(path),
            Image.fromarray(np.zeros((3, 4), np.uint16)).save(path / "b" / "deep.png"),
        ),
        "images",
        (),
        "the image b/deep.png cannot be read: its mode is I;16; save it with 8 bits a colour",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_no_code(tmp_path, case):
    assert_refused(tmp_path, CASES[case])
