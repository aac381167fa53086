"""One DICOM file opened with suspicion: pydicom is quiet, sizes are capped, errors are ours."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ctlung.errors import CtlungError
from ctlung.settings import Settings

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.2.2",
    }
)
"""CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage."""

META_MAX_BYTES = 65_536
HEADROOM_BYTES = 32_000_000
PIXEL_GROUP = 0x7FE0
_LONG = (b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"OD", b"OL", b"UC", b"UR", b"OV", b"SV", b"UV")


class NotDicom(Exception):
    """The file does not begin as a DICOM file does."""


class Damaged(Exception):
    """The file begins as DICOM, but cannot be read as such; the message says why."""


@contextmanager
def guarded() -> Iterator[None]:
    """Whatever goes wrong inside is damage of the file: pydicom fails in any way on one.

    pydicom is held quiet. Errors of the file system, and those that are ours, pass.
    """
    try:
        with quiet():
            yield
    except (OSError, CtlungError, Damaged, NotDicom):
        raise
    except Exception as e:
        raise Damaged(f"it cannot be parsed ({type(e).__name__})") from e


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back pydicom's warnings, which quote header values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_dataset(stream: BinaryIO, settings: Settings, *, pixels: bool) -> Dataset:
    """The data set of a DICOM file (PS3.10), without its pixels unless asked for.

    Raises:
        NotDicom: no ``DICM`` after the preamble.
        Damaged: anything else, among it a deflated file that inflates beyond what its own
            Rows, Columns and Number of Frames explain.
        OSError: the file system refuses.
    """
    if stream.read(132)[128:] != b"DICM":
        raise NotDicom
    with guarded():
        if _transfer_syntax(stream) == DeflatedExplicitVRLittleEndian:
            return _inflated(stream, settings, pixels)
        stream.seek(0)
        dataset = dcmread(stream, stop_before_pixels=not pixels)
        if not pixels and _is_ct(dataset) and not stream.read(1):
            raise Damaged("it ends before its pixels")
    return dataset


def _is_ct(dataset: Dataset) -> bool:
    return str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", "")) in CT_CLASSES


class Attributes:
    """Look up attributes by keyword in a chain of data sets, the first that has one wins.

    Values that cannot be read count as absent.
    """

    def __init__(self, chain: Sequence[Dataset]) -> None:
        self._chain = chain

    def get(self, keyword: str) -> Any:
        """The value, or ``None`` where it is absent, empty or unreadable."""
        tag = _tag(keyword)
        for dataset in self._chain:
            if tag not in dataset:
                continue
            try:
                with quiet():
                    value = dataset[tag].value
            except Exception:
                continue
            if value is not None and not (hasattr(value, "__len__") and len(value) == 0):
                return value
        return None

    def has(self, keyword: str) -> bool:
        """Whether the attribute is there, if only empty."""
        tag = _tag(keyword)
        return any(tag in dataset for dataset in self._chain)

    def text(self, keyword: str) -> str | None:
        """One string, stripped; the first of several values."""
        values = self.texts(keyword)
        return values[0] if values else None

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All values as stripped strings, empty ones left out."""
        value = self.get(keyword)
        if value is None:
            return ()
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return tuple(t for t in (str(v).strip().strip("\0") for v in several) if t)

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers, or ``None``."""
        value = self.get(keyword)
        if value is None:
            return None
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        try:
            numbers = tuple(float(v) for v in several)
        except (TypeError, ValueError):
            return None
        finite = all(abs(v) < 1e12 for v in numbers)
        return numbers if len(numbers) == count and finite else None

    def number(self, keyword: str) -> float | None:
        """One finite number, or ``None``."""
        numbers = self.numbers(keyword, 1)
        return numbers[0] if numbers else None

    def whole(self, keyword: str) -> int | None:
        """One whole number, or ``None``."""
        number = self.number(keyword)
        return int(number) if number is not None and number == int(number) else None


@cache
def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return int(tag)


def _transfer_syntax(stream: BinaryIO) -> str:
    """Transfer Syntax UID of the file meta group; the stream is left where that group ends."""
    start, syntax = stream.tell(), ""
    while stream.tell() - start < META_MAX_BYTES:
        here = stream.tell()
        head = stream.read(8)
        if len(head) < 8:
            break
        group, element, vr, short = struct.unpack("<HH2sH", head)
        if group != 2:
            stream.seek(here)
            break
        length = struct.unpack("<I", stream.read(4))[0] if vr in _LONG else short
        if length > META_MAX_BYTES:
            raise Damaged("its file meta group is too long")
        value = stream.read(length)
        if element == 0x10:
            syntax = value.decode("ascii", "replace").rstrip("\0 ")
    return syntax


def _inflated(stream: BinaryIO, settings: Settings, pixels: bool) -> Dataset:
    packed = stream.read()
    head, complete = _inflate(packed, HEADROOM_BYTES)
    header = _elements(head, pixels=pixels and complete)
    if complete or not pixels:
        return header
    expected = pixel_bytes(Attributes([header]), settings) + HEADROOM_BYTES
    body, complete = _inflate(packed, expected)
    if not complete:
        raise Damaged("it inflates to far more than its own dimensions explain")
    return _elements(body, pixels=True)


def pixel_bytes(header: Attributes, settings: Settings) -> int:
    """Bytes that the pixels of a file take when decoded; refuses absurd dimensions.

    Raises:
        Damaged: dimensions missing or beyond the limits of ``settings``.
    """
    rows, columns = header.whole("Rows") or 0, header.whole("Columns") or 0
    frames = header.whole("NumberOfFrames") if header.has("NumberOfFrames") else 1
    frames = 1 if frames is None else frames
    bits = header.whole("BitsAllocated") or 0
    if not (2 <= rows <= settings.max_rows and 2 <= columns <= settings.max_rows):
        raise Damaged(
            f"it claims {rows} rows and {columns} columns (limit {settings.max_rows} each)"
        )
    if not 1 <= frames <= settings.max_slices:
        raise Damaged(f"it claims {frames} frames (limit {settings.max_slices})")
    if rows * columns * frames > settings.max_voxels:
        raise Damaged(f"it claims {rows * columns * frames} voxels (limit {settings.max_voxels})")
    return rows * columns * frames * max(1, bits // 8)


def _inflate(packed: bytes, limit: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    return inflater.decompress(packed, limit), inflater.eof


def _elements(data: bytes, *, pixels: bool) -> Dataset:
    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        return bool(tag >> 16 >= PIXEL_GROUP)

    stop = None if pixels else at_pixels
    dataset = read_elements(io.BytesIO(data), False, True, stop_when=stop)
    dataset.file_meta = FileMetaDataset()
    # The stream is plain now; whoever decodes the pixels must not inflate again.
    dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    dataset.set_original_encoding(False, True)
    return dataset
