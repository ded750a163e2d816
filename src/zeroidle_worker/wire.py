"""The frames that a plane and a worker on the same machine exchange over a Unix socket.

A frame is: u32 length of what follows (big endian) | u8 kind | u32 length of the header | header (a JSON object,
UTF-8) | body (raw bytes, often JSON text that is never decoded on the way).

The same messages as RunPod's worker protocol over HTTP, plus the phases of a start:

| kind     | direction | header                                                    | body                          |
|----------|-----------|-----------------------------------------------------------|-------------------------------|
| HELLO    | to plane  | worker_id, token, pid, python, sdk                         | -                             |
| PHASE    | to plane  | name, start, end (Unix seconds), note?                    | -                             |
| READY    | to plane  | concurrency, cooperative (the handler asks `cancelled()`) | -                             |
| FAILED   | to plane  | reason (short word), message                              | traceback text                |
| TAKE     | to plane  | n: how many more jobs it will take (absolute credit)      | -                             |
| JOB      | to worker | id, attempt, path?, deadline? (Unix seconds)              | the job as JSON object        |
| DONE     | to plane  | id, attempt, run_s, log: [start, end], path?, refresh?    | {"output"} or {"error"} JSON |
| STREAM   | to plane  | id, attempt, path?                                        | the chunk as JSON value       |
| PROGRESS | to plane  | id, attempt                                               | the progress as JSON value    |
| RELEASE  | to plane  | ids: jobs that were handed out and not begun              | -                             |
| CANCEL   | to worker | id, attempt                                               | -                             |
| DRAIN    | to worker | -                                                         | -                             |

A body of LARGE bytes or more travels as a file: `path` names it (absolute, on this machine), the body is empty, and
the plane takes the file over: it lies in the plane's spool and its name begins with the worker's id and a hyphen. The
file of a JOB stays the plane's: the worker only reads it. It holds the whole job
when the body is empty, and otherwise the JSON text of `input`, with the job's other keys in the body: so a spooled
input is handed out without a copy.

TAKE is a credit: the plane never has more than `n` unfinished jobs at the worker; a worker without TAKE since READY
has credit `concurrency`. Each JOB ends in exactly one DONE or RELEASE, a cancelled one too. A worker begins jobs in
the order in which they came; when it dies with concurrency 1, only the first unfinished one had been begun. HELLO
comes once more on the same connection when a worker starts again with the real SDK (sdk "real").
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, Iterator, NamedTuple, Optional

HELLO, PHASE, READY, FAILED, TAKE, JOB, DONE, STREAM, PROGRESS, RELEASE, CANCEL, DRAIN = range(1, 13)

#: Bodies of this size and up travel as files.
LARGE = 256 * 1024

#: No frame is longer: a longer one means that the peer does not speak this protocol.
MAX_FRAME = 64 * 1024 * 1024

#: What stands before the header: length of the rest, kind, length of the header.
HEAD = struct.Struct(">IBI")

_encode_text = json.JSONEncoder(separators=(",", ":")).encode
_read = json.JSONDecoder().raw_decode


class Frame(NamedTuple):
    """One message."""

    kind: int
    header: Dict[str, Any]
    body: bytes


class ProtocolError(Exception):
    """The peer sent something that is not a frame."""


def pack(kind: int, header: Optional[Dict[str, Any]] = None, body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return pack_raw(kind, _encode_text(header).encode() if header else b"{}", body)


def pack_raw(kind: int, head: bytes, body: bytes = b"") -> bytes:
    """The bytes of one frame whose header is JSON already."""
    return HEAD.pack(5 + len(head) + len(body), kind, len(head)) + head + body


def value(text: str) -> Any:
    """The value of a JSON text. Without what `json.loads` does for texts of any origin, in half of its time. Raises
    ValueError."""
    try:
        found, end = _read(text)
        if end == len(text):
            return found
    except ValueError:  # white space in front, or no JSON
        pass
    return json.loads(text)


class Unpacker:
    """Turns a byte stream into frames: feed what arrived, iterate over what is complete."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._wanted = 0  # how many bytes the rest needs before it can hold a whole frame

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Adds `data` and yields each complete frame. Raises ProtocolError on nonsense."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return
            data = bytes(self._rest)
        at, size = 0, len(data)
        self._wanted = 0
        try:
            while size - at >= HEAD.size:
                length, kind, head_len = HEAD.unpack_from(data, at)
                if length > MAX_FRAME or head_len + 5 > length or not HELLO <= kind <= DRAIN:
                    raise ProtocolError("not a frame: length %d, kind %d, header %d" % (length, kind, head_len))
                end = at + 4 + length
                if end > size:
                    self._wanted = 4 + length
                    break
                body_at = at + HEAD.size + head_len
                header = _header(data[at + HEAD.size : body_at])
                at = end
                yield Frame(kind, header, data[body_at:end])
        finally:
            self._rest = bytearray(data[at:]) if at < size else bytearray()


def _header(data: bytes) -> Dict[str, Any]:
    try:
        header = value(data.decode())
    except ValueError as exc:
        raise ProtocolError("the header of a frame is not JSON") from exc
    if not isinstance(header, dict):
        raise ProtocolError("the header of a frame is not an object")
    return header
