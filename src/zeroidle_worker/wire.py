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
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

HELLO, PHASE, READY, FAILED, TAKE, JOB, DONE, STREAM, PROGRESS, RELEASE, CANCEL, DRAIN = range(1, 13)

#: Bodies of this size and up travel as files.
LARGE = 256 * 1024

#: No frame is longer: a longer one means that the peer does not speak this protocol.
MAX_FRAME = 64 * 1024 * 1024

#: What stands before the header: length of the rest, kind, length of the header.
HEAD = struct.Struct(">IBI")

_json = json.JSONEncoder(separators=(",", ":")).encode
_value = json.JSONDecoder().decode  # spares json.loads' guess at the encoding


class Frame(NamedTuple):
    """One message."""

    kind: int
    header: Dict[str, Any]
    body: bytes


class ProtocolError(Exception):
    """The peer sent something that is not a frame."""


def pack(kind: int, header: Optional[Dict[str, Any]] = None, body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    head = _json(header).encode() if header else b"{}"
    return HEAD.pack(5 + len(head) + len(body), kind, len(head)) + head + body


class Unpacker:
    """Turns a byte stream into frames: feed what arrived, iterate over what is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Adds `data` and yields each complete frame. Raises ProtocolError on nonsense."""
        self._buffer += data
        while True:
            frame, used = _first(self._buffer)
            if frame is None:
                return
            del self._buffer[:used]
            yield frame


def _first(buffer: bytearray) -> Tuple[Optional[Frame], int]:
    if len(buffer) < 9:
        return None, 0
    length, kind, head_len = HEAD.unpack_from(buffer)
    if length > MAX_FRAME or head_len + 5 > length or not HELLO <= kind <= DRAIN:
        raise ProtocolError("not a frame: length %d, kind %d, header %d" % (length, kind, head_len))
    end = 4 + length
    if len(buffer) < end:
        return None, 0
    try:
        header = _value(buffer[9 : 9 + head_len].decode())
    except ValueError as exc:
        raise ProtocolError("the header of a frame is not JSON") from exc
    if not isinstance(header, dict):
        raise ProtocolError("the header of a frame is not an object")
    return Frame(kind, header, bytes(buffer[9 + head_len : end])), end
