"""The parent's side of ``decoder_child``: compressed frames in, pixels or ``Damaged`` out."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from ctlung.reading.dataset import Damaged

CHILD = Path(__file__).with_name("decoder_child.py")
MEMORY_BASE_BYTES = 1_000_000_000
MEMORY_PER_PIXEL_BYTES = 64
SECONDS_PER_FRAME = 120.0

_COMPLAINT = re.compile(
    r"premature end|bad huffman|found marker|Corrupt JPEG data: (?!\d+ extraneous)", re.IGNORECASE
)
"""What libjpeg (in gdcm) says when it goes on with made-up pixels; it does not fail."""


class Decoder:
    """Decodes frames in a child process, started at the first of them. Use it in a ``with``."""

    def __init__(self, most_pixels: int) -> None:
        self._memory = MEMORY_BASE_BYTES + MEMORY_PER_PIXEL_BYTES * most_pixels
        self._child: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the decoder)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._said.close()

    def decode(self, data: bytes, request: dict[str, object]) -> bytes:
        """Pixels of one frame, little endian, row by row.

        Raises:
            Damaged: the decoder failed, complained, died, or took too long.
        """
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        before = self._said.seek(0, 2)
        watch = threading.Timer(SECONDS_PER_FRAME, child.kill)
        watch.start()
        try:
            child.stdin.write(json.dumps({**request, "length": len(data)}).encode() + b"\n" + data)
            child.stdin.flush()
            answer = json.loads(child.stdout.readline() or b'{"error": "died"}')
            pixels = child.stdout.read(answer.get("length", 0))
        except (OSError, ValueError):
            answer, pixels = {"error": "died"}, b""
        finally:
            watch.cancel()
        self._said.seek(before)
        complaint = _COMPLAINT.search(self._said.read().decode("utf-8", "replace"))
        if "error" in answer or complaint or len(pixels) != answer["length"]:
            self._stop()
            raise Damaged("its compressed pixels cannot be decoded")
        return pixels

    def _start(self) -> subprocess.Popen[bytes]:
        # -P keeps the folder of the script and the working folder off the child's path.
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", str(CHILD), str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
        except OSError as e:
            raise Damaged("no process could be started to decode its pixels") from e
        return self._child

    def _stop(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        assert child.stdin is not None
        assert child.stdout is not None
        child.kill()
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        child.wait()
