"""A process of its own that decodes compressed pixels, and does nothing else.

Decoders of DICOM streams are native code that hostile or damaged files have crashed before;
here they can take down only this process, within limits on its memory. It is run by path and
imports nothing of ctlung. One request: a line of JSON, then the bytes of one frame. One
answer: a line of JSON, then the pixels, little endian, row by row.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any


def limit_memory(extra_bytes: int) -> None:
    """Allow this process no more address space than it has now and ``extra_bytes``."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return
    most = pages * resource.getpagesize() + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def decode(request: dict[str, Any], data: bytes) -> bytes:
    """The pixels of one frame as little endian words, unsigned or two's complement."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    options: dict[str, Any] = {
        "rows": request["rows"],
        "columns": request["columns"],
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": request["allocated"],
        "bits_stored": request["stored"],
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": int(request["signed"]),
        "pixel_keyword": "PixelData",
    }
    array, _ = get_decoder(request["syntax"]).as_array(
        encapsulate([data]), index=0, raw=True, decoding_plugin=request["plugin"], **options
    )
    if array.shape != (request["rows"], request["columns"]):
        raise ValueError("another size")
    if array.dtype.itemsize * 8 != request["allocated"]:
        array = array.astype(f"i{request['allocated'] // 8}")
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def main() -> None:
    """Answer requests until there are no more."""
    warnings.simplefilter("ignore")
    import pydicom.pixels.decoders.base  # noqa: F401  (before the limit, it takes room)

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    limit_memory(int(sys.argv[1]))
    while line := source.readline():
        request = json.loads(line)
        data = source.read(request["length"])
        try:
            pixels = decode(request, data)
        except BaseException as error:  # Rust panics are no Exceptions
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            sink.write(json.dumps({"error": type(error).__name__}).encode() + b"\n")
        else:
            sink.write(json.dumps({"length": len(pixels)}).encode() + b"\n" + pixels)
        sys.stderr.flush()
        sink.flush()


if __name__ == "__main__":
    main()
