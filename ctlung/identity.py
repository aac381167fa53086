"""Keyed hashes: two scans of one person can be matched, and nobody can be named from them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Key:
    """A secret of at least 16 bytes that stays with the trial."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 16:
            raise ValueError("a key needs at least 16 bytes")

    def digest(self, purpose: str, text: str | None) -> str | None:
        """32 hex characters of HMAC-SHA256, apart for each purpose; ``None`` for no text."""
        if not text:
            return None
        message = f"{purpose}\0{text}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:32]

    @property
    def fingerprint(self) -> str:
        """Tells whether two reports were made with one key, and nothing else."""
        return hmac.new(self.secret, b"fingerprint", hashlib.sha256).hexdigest()[:16]
