"""Signs webhooks by the Standard Webhooks specification, with a secret that is kept beside the jobs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from zeroidle.errors import ConfigError

_PREFIX = "whsec_"
_KEY_BYTES = (24, 64)  # what the specification allows
_BLOCK_BYTES = 256 * 1024


class Signer:
    """Holds the keys. With several secrets every message carries one signature for each, so that a receiver can
    change over from an old secret to a new one."""

    def __init__(self, text: str) -> None:
        """`text` holds secrets separated by blanks, the newest first. Raises ConfigError."""
        self._keys = [_key(secret) for secret in text.split()]
        if not self._keys:
            raise ConfigError("The webhook secret is empty; remove its file to have a new one made.")

    def headers(self, message_id: str, timestamp: int, body: Iterable[bytes]) -> dict[str, str]:
        """The three headers of a message sent at `timestamp` (Unix seconds); `body` comes in blocks."""
        macs = [hmac.new(key, f"{message_id}.{timestamp}.".encode(), hashlib.sha256) for key in self._keys]
        for block in body:
            for mac in macs:
                mac.update(block)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join("v1," + base64.b64encode(mac.digest()).decode() for mac in macs),
        }


def blocks(path: Path) -> Iterable[bytes]:
    """A file in blocks; reads while it is iterated."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def load_secret(path: Path) -> str:
    """What the file holds; makes it, readable for its owner alone, when there is none. Raises ConfigError."""
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ConfigError(f"The webhook secret in {path} cannot be read: {exc.strerror}.") from exc
    secret = _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    # Written beside and linked into place: a crash leaves no half a secret, and of two starters one wins.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return path.read_text()
        finally:
            draft.unlink()
    except OSError as exc:
        raise ConfigError(f"The webhook secret cannot be kept in {path}: {exc.strerror}.") from exc
    return secret


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as exc:
        raise ConfigError("The webhook secret is not base64; it must look like whsec_ and then base64.") from exc
    if not _KEY_BYTES[0] <= len(key) <= _KEY_BYTES[1]:
        raise ConfigError(
            f"The webhook secret has {len(key)} bytes; it must have from {_KEY_BYTES[0]} to {_KEY_BYTES[1]}."
        )
    return key
