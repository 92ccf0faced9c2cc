"""A folder of images by class, as torchvision's ImageFolder takes it: FOLDER/CLASS/IMAGE.png."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from plastic_core.base.errors import describe_exception
from plastic_core.base.reading import open_file
from plastic_core.training.data_file import MOST_BYTES, TOO_LARGE, DataFile, listed

# Pillow reads more, some of it by other programs.
_FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"),
)
_GREY: Final = ("1", "L")

# What folders are called that hold the classes once to train on, and once to be held out.
_SPLITS: Final = ({"train", "test"}, {"train", "val"})

# Modes of 8 bits whose colours Pillow converts.
_CONVERTED: Final = ("P", "RGBA", "LA", "CMYK", "YCbCr")


class _UnfitError(ValueError):
    """An image that can be read, and is not one of those that are wanted."""


def read_images(folder: Path, labelled: bool = True) -> DataFile:
    """Return images with pixels from 0 to 1, grey ones as ``[N, H, W]``, others ``[N, 3, H, W]``.

    Args:
        folder: its folders are the classes; or they are train and test (or val), which hold the
            classes each; or it holds images itself.
        labelled: whether there must be classes.

    Raises:
        ValueError: there are not two classes, an image cannot be read, or two differ in size.
    """
    classes = sorted(one for one in folder.iterdir() if one.is_dir() and one.name[:1] != ".")
    if {one.name.lower() for one in classes} in _SPLITS and not any(map(_images_in, classes)):
        return _split(folder, classes)
    if not labelled and not classes:
        classes = [folder]
    elif len(classes) < 2:
        raise ValueError(
            f"is a folder with {len(classes)} folders in it; expected one of images for each "
            "class, two at least"
        )
    if strange := [one for one in folder.rglob("*") if not _is_text(one.name)]:
        raise ValueError(f"the name {strange[0].name!a} in it is no text in UTF-8; rename it")
    files, left_out = list[tuple[Path, str]](), list[str]()
    for one in classes:
        beside = sorted(file for file in one.iterdir() if file.name[:1] != ".")
        images = _images_in(one)
        if not images:
            raise ValueError(
                f"the folder {one.name!r} holds no image ({listed(_SUFFIXES)}); name the folder "
                "whose folders are the classes"
            )
        files += [(file, one.name) for file in images]
        left_out += [str(file.relative_to(folder)) for file in beside if file not in images]
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} files are no images, and were left out: {left_out[0]}, ...")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of images too large to be unpacked
        pixels = _pixels(folder, [file for file, _ in files], notes)
    labels = None if classes == [folder] else np.array([name for _, name in files])
    names = tuple(str(file.relative_to(folder)) for file, _ in files)
    return DataFile(pixels, labels, notes=tuple(notes), names=names)


def _images_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.name[:1] != ".")
    return [file for file in files if file.suffix.lower() in _SUFFIXES]


def _split(folder: Path, parts: list[Path]) -> DataFile:
    """Return the images of FOLDER/train/CLASS, and those of the other part as held out."""
    first, other = sorted(parts, key=lambda one: one.name.lower() != "train")
    train, held_out = read_images(first), read_images(other)
    names = [
        f"{part.name}/{name}"
        for part, of in ((first, train), (other, held_out))
        for name in of.names
    ]
    return DataFile(
        train.inputs,
        train.labels,
        held_out=(held_out.inputs, held_out.labels),
        notes=(f"held out are the images in {folder / other.name}", *train.notes, *held_out.notes),
        names=tuple(names),
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pixels(folder: Path, files: list[Path], notes: list[str]) -> Any:
    """Return the pixels of images of one size.

    Raises:
        ValueError: one cannot be read, or they differ in size.
    """
    from PIL import Image

    found: Any = None
    converted = set[str]()
    for place, file in enumerate(files):
        name = file.relative_to(folder)
        try:
            with open_file(file, MOST_BYTES) as stream, Image.open(stream, "r", _FORMATS) as image:
                grey, (columns, rows) = image.mode in _GREY, image.size
                if image.mode not in (*_GREY, "RGB", *_CONVERTED):
                    raise ValueError(f"its mode is {image.mode}; save it with 8 bits a colour")
                if image.mode in _CONVERTED:
                    converted.add(image.mode)
                shape = (rows, columns) if grey else (3, rows, columns)
                if found is None:
                    size = 4 * len(files) * int(np.prod(shape))
                    if size > MOST_BYTES:
                        raise _UnfitError(f"unpacks to {size / 2**20:,.0f} MB, and {TOO_LARGE}")
                    found = np.empty((len(files), *shape), np.float32)
                if shape != found.shape[1:]:
                    raise _UnfitError(
                        f"the images {files[0].relative_to(folder)} and {name} differ: "
                        f"{_text(found.shape[1:])} and {_text(shape)}; make all of one size, and "
                        "all grey or all in colour"
                    )
                array = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / 255
                found[place] = array if grey else array.transpose(2, 0, 1)
        except _UnfitError:
            raise
        except Exception as error:  # of damaged images Pillow raises whatever comes
            reason = str(error) if type(error) is ValueError else describe_exception(error)
            raise ValueError(f"the image {name} cannot be read: {reason}") from None
    if converted:
        notes.append(
            f"images of mode {', '.join(sorted(converted))} are read as red, green and blue, "
            "without transparency"
        )
    return found


def _text(shape: tuple[int, ...]) -> str:
    return f"{shape[-2]} rows, {shape[-1]} columns, {'colour' if len(shape) == 3 else 'grey'}"
