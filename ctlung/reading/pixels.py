"""The stored pixels of one slice: decoded, checked, with the padding told apart."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ctlung.arrays import BoolArray, IntArray
from ctlung.reading.codestream import stream_size
from ctlung.reading.dataset import Attributes, Damaged, pixel_bytes, quiet, read_dataset
from ctlung.reading.decoding import Decoder
from ctlung.reading.headers import Padding, SliceHeader
from ctlung.settings import Settings

NATIVE = {
    ImplicitVRLittleEndian: "<",
    ExplicitVRLittleEndian: "<",
    DeflatedExplicitVRLittleEndian: "<",
    ExplicitVRBigEndian: ">",
}
DECODERS = {
    RLELossless: "pylibjpeg",
    JPEGBaseline8Bit: "gdcm",
    JPEGExtended12Bit: "gdcm",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
}
"""One decoder each, exact and quiet; a second one would guess where the first fails."""

LOSSY_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})


class PixelFile:
    """A DICOM file whose pixels are being read, frame by frame.

    Raises:
        Damaged: the file cannot be read, or its pixels are not what its header says.
        OSError: the file system refuses.
    """

    def __init__(self, stream: BinaryIO, settings: Settings, decoder: Decoder) -> None:
        self._decoder = decoder
        self._dataset: Dataset = read_dataset(stream, settings, pixels=True)
        header = Attributes([self._dataset])
        self._bytes = pixel_bytes(header, settings)
        self.rows = header.whole("Rows") or 0
        self.columns = header.whole("Columns") or 0
        self.frames = (header.whole("NumberOfFrames") or 1) if header.has("NumberOfFrames") else 1
        self._allocated = header.whole("BitsAllocated") or 0
        stored = header.whole("BitsStored") or self._allocated
        high = header.whole("HighBit")
        self._stored = stored
        self._shift = 0 if high is None else high + 1 - stored
        self.signed = header.whole("PixelRepresentation") == 1
        self._syntax = self._dataset.file_meta.TransferSyntaxUID
        if self._allocated not in (8, 16, 32) or not 1 <= stored <= self._allocated:
            raise Damaged(f"it claims {stored} bits stored in {self._allocated}")
        if not 0 <= self._shift <= self._allocated - stored:
            raise Damaged(f"its highest bit is {high} for {stored} bits stored")
        if "PixelData" not in self._dataset:
            raise Damaged("it has no pixel data")

    def stored_values(self, frame: int | None) -> tuple[IntArray, IntArray]:
        """Stored values ``[rows, columns]`` as int64, and the words they came in, unmasked.

        Bits outside BitsStored (old overlays) are masked, the sign is extended from there.
        """
        words = self._words(frame or 0)
        values = (words >> self._shift) & ((1 << self._stored) - 1)
        if self.signed:
            half = 1 << (self._stored - 1)
            values = (values ^ half) - half
        return values, words

    def _words(self, frame: int) -> IntArray:
        if not 0 <= frame < self.frames:
            raise Damaged(f"it has no frame {frame + 1}")
        array = self._native(frame) if self._syntax in NATIVE else self._decoded(frame)
        if array.shape != (self.rows, self.columns):
            raise Damaged("its pixels do not have the size that its header says")
        unsigned = array.view(f"u{array.dtype.itemsize}").astype(np.int64)
        return unsigned & ((1 << self._allocated) - 1)

    def _native(self, frame: int) -> np.ndarray[Any, Any]:
        data = self._dataset["PixelData"].value
        size = self._bytes // self.frames
        if len(data) < self._bytes:
            raise Damaged("its pixel data are cut short")
        kind = f"{NATIVE[self._syntax]}u{self._allocated // 8}"
        flat = np.frombuffer(data, kind, size // (self._allocated // 8), offset=frame * size)
        return flat.reshape(self.rows, self.columns).astype(flat.dtype.newbyteorder("="))

    def _decoded(self, frame: int) -> np.ndarray[Any, Any]:
        plugin = DECODERS.get(self._syntax)
        if plugin is None:
            raise Damaged(f"its encoding {self._syntax.name} is not one that ctlung reads")
        try:
            with quiet():
                data = get_frame(
                    self._dataset["PixelData"].value, frame, number_of_frames=self.frames
                )
            claimed = stream_size(data)
        except Exception as e:  # lengths and markers of a damaged stream may be anything
            raise Damaged(f"its {self._syntax.name} stream is cut short") from e
        if claimed is not None and claimed != (self.rows, self.columns):
            raise Damaged("its pixels do not have the size that its header says")
        pixels = self._decoder.decode(
            data,
            {
                "syntax": str(self._syntax),
                "plugin": plugin,
                "rows": self.rows,
                "columns": self.columns,
                "allocated": self._allocated,
                "stored": self._stored,
                "signed": self.signed,
            },
        )
        words = np.frombuffer(pixels, f"<u{self._allocated // 8}")
        if words.size != self.rows * self.columns:
            raise Damaged("its pixels do not have the size that its header says")
        return words.reshape(self.rows, self.columns)


def padded(
    values: IntArray, words: IntArray, padding: Padding | None, file_signed: bool, bits: int = 16
) -> BoolArray | None:
    """Where the header's padding value (or range, in either order) is stored; ``None`` if nowhere.

    The value's VR is US or SS by PixelRepresentation, but writers mix them up (63536 for
    -2000): it is read with the sign of the pixels. Old scanners pad beyond BitsStored, so the
    unmasked words are looked at too.
    """
    if padding is None:
        return None
    first, last = (_with_sign(v, file_signed, bits) for v in (padding.first, padding.last))
    low, high = min(first, last), max(first, last)
    found: BoolArray = (values >= low) & (values <= high)
    if low == high:
        found |= words == (low & ((1 << bits) - 1))
    return found if found.any() else None


def _with_sign(value: int, signed: bool, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value


def is_lossy(header: SliceHeader) -> bool:
    """Whether pixels were ever compressed with loss, by the header or by the encoding."""
    return header.lossy or header.transfer_syntax in LOSSY_SYNTAXES
