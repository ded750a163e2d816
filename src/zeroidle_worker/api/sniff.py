"""Tells what a file is by its first bytes, and how large an image says it is, without decoding it."""

from __future__ import annotations

import struct
from typing import BinaryIO, Optional, Tuple

#: How many bytes `media_type` and `image_size` want to see at most.
HEAD_BYTES = 256 * 1024


def media_type(head: bytes) -> Optional[str]:
    """The media type that the magic bytes show; None when they show none that we know."""
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12].strip(b" \0")[:3], "video/mp4")
    if head[:4] == b"\x1aE\xdf\xa3":
        video = b"V_" in head[:4096]  # a codec id of a video track
        return "video/webm" if video else "audio/webm"
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:512] else "audio/ogg"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        return "audio/mpeg"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    return None


def image_size(head: bytes, file: Optional[BinaryIO] = None) -> Optional[Tuple[int, int]]:
    """Width and height in pixels as the header states them; None when they are not found. `file` is the whole, for the
    formats whose header may stand at the end."""
    kind = media_type(head)
    try:
        if kind == "image/png":
            return struct.unpack_from(">II", head, 16)
        if kind == "image/gif":
            return struct.unpack_from("<HH", head, 6)
        if kind == "image/bmp":
            width, height = struct.unpack_from("<ii", head, 18)
            return width, abs(height)
        if kind == "image/webp":
            return _webp(head)
        if kind == "image/jpeg":
            return _jpeg(head)
        if kind == "image/tiff":
            return _tiff(head, file)
        if kind in ("image/avif", "image/heic"):
            found = head.find(b"ispe")
            return struct.unpack_from(">II", head, found + 8) if found >= 0 else None
    except struct.error:
        return None
    return None


def _webp(head: bytes) -> Optional[Tuple[int, int]]:
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(head: bytes) -> Optional[Tuple[int, int]]:
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + struct.unpack_from(">H", head, at + 2)[0]
    return None


def _tiff(head: bytes, file: Optional[BinaryIO]) -> Optional[Tuple[int, int]]:
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", head, 4)
    if file is not None and at + 1024 > len(head):
        file.seek(at)
        head, at = file.read(1024), 0
    (count,) = struct.unpack_from(order + "H", head, at)
    found = {}
    for i in range(min(count, 64)):
        tag, kind = struct.unpack_from(order + "HH", head, at + 2 + 12 * i)
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), head, at + 10 + 12 * i)
    return (found[256], found[257]) if len(found) == 2 else None


_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"FORM", "audio/aiff"),
    (0, b".snd", "audio/basic"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
)

_FTYP = {b"M4A": "audio/mp4", b"M4B": "audio/mp4", b"avi": "image/avif", b"hei": "image/heic", b"mif": "image/heic",
         b"qt": "video/quicktime"}  # fmt: skip
