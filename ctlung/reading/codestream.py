"""Look at a compressed stream before a decoder takes memory for it.

A JPEG or JPEG 2000 stream carries dimensions of its own; decoders believe them, not the
DICOM header.
"""

from __future__ import annotations

import struct

_SOI, _END, _SOC = b"\xff\xd8", b"\xff\xd9", b"\xff\x4f"
TAIL_BYTES = 4096
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def stream_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream claims; ``None`` if it is none.

    ``ValueError`` for a stream that ends before it says so.
    """
    try:
        if data[:2] not in (_SOI, _SOC):
            return None
        size = _jpeg(data) if data[:2] == _SOI else _jpeg2000(data)
    except struct.error:
        raise ValueError("the stream ends in its own header") from None
    if _END not in data[-TAIL_BYTES:]:  # decoders go on with zeros where the end is missing
        raise ValueError("the stream has no end marker")
    return size


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        first, marker = struct.unpack_from(">BB", data, at)
        if first != 0xFF:
            raise ValueError("the stream has no frame header")
        if marker == 0xFF:
            at += 1
        elif marker in _BARE_MARKERS:
            at += 2
        elif marker in _FRAME_MARKERS:
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return int(rows), int(columns)
        else:
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])


def _jpeg2000(data: bytes) -> tuple[int, int]:
    marker, _, _, right, bottom, left, top = struct.unpack_from(">HHHIIII", data, 2)
    if marker != 0xFF51:
        raise ValueError("the stream has no size marker")
    return int(bottom - top), int(right - left)
