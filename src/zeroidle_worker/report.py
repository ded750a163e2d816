"""Builds the frames that report on a job; large bodies go into files of the plane's spool."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from typing import Any, Dict, Optional, Tuple

from zeroidle_worker import wire
from zeroidle_worker.current import Running
from zeroidle_worker.encode import NotJson, encode
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import Outcome, failed, log_text


class Reporter:
    """Reports on jobs over a link. Every method may be called from any thread."""

    def __init__(self, link: Link, spool: str, worker_id: str) -> None:
        self._link = link
        self._spool = spool
        self._worker_id = worker_id
        self._numbers = itertools.count(1)
        self._log_fd = _log_fd()
        self.log_end: Optional[int] = None  # where it ended when a job was last reported

    def log_offset(self) -> Optional[int]:
        """Where the worker's log ends now, in bytes; None when standard output is not a log file."""
        # Moving the offset of a file that is only appended to changes nothing, and costs a quarter of a stat.
        return None if self._log_fd < 0 else os.lseek(self._log_fd, 0, os.SEEK_END)

    def done(self, running: Running, outcome: Outcome, run_s: float, log_start: Optional[int]) -> None:
        """Puts the end of a job into the link's buffer; the caller flushes."""
        body = outcome.body
        # By hand, because a JSON encoder costs as much as the rest of a report.
        head = b'{"id":%b,"attempt":%d,"run_s":%.6f' % (running.id_json, running.attempt, run_s)
        if log_start is not None:
            self.log_end = self.log_offset() or log_start
            head += b',"log":[%d,%d]' % (log_start, self.log_end)
        if outcome.refresh:
            head += b',"refresh":true'
        if len(body) >= wire.LARGE:
            try:
                head += b',"path":%b' % encode(self._file(body))
                body = b""
            except OSError as exc:
                body = failed(
                    "The result of %d bytes could not be written to the plane's spool folder: %s; free some space "
                    "or return less." % (len(outcome.body), exc.strerror or exc)
                )
        self._link.push(wire.pack_raw(wire.DONE, head + b"}", body))

    def stream(self, running: Running, chunk: Any) -> None:
        """Sends one chunk of a generator. Raises NotJson, OSError when the spool cannot be written, Gone."""
        header, body = self._body(running, encode(chunk, "chunk"))
        self._link.send(wire.pack(wire.STREAM, header, body))

    def progress(self, running: Running, value: Any) -> None:
        """Sends progress; what cannot be sent is noted in the log and does not fail the job."""
        try:
            body = encode(value, "progress")
            if len(body) >= wire.MAX_FRAME - 4096:
                raise NotJson("The progress of %d bytes is too large; report less." % len(body))
            self._link.send(wire.pack(wire.PROGRESS, {"id": running.id, "attempt": running.attempt}, body))
        except NotJson as exc:
            log_text("%s | progress not sent: %s" % (running.id, exc))
        except Gone:
            return  # the loop notices it as well and ends

    def _body(self, running: Running, body: bytes) -> Tuple[Dict[str, Any], bytes]:
        header: Dict[str, Any] = {"id": running.id, "attempt": running.attempt}
        if len(body) >= wire.LARGE:
            header["path"], body = self._file(body), b""
        return header, body

    def _file(self, body: bytes) -> str:
        if not self._spool:
            raise OSError(0, "no spool folder was given to this worker")
        name = "%s-%d-%d.json" % (self._worker_id, os.getpid(), next(self._numbers))
        path = os.path.join(self._spool, name)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
        return path


def _log_fd() -> int:
    """A descriptor of our own for the log, because the handler may close or redirect standard output; -1 when that is
    not a file that is only appended to."""
    try:
        stat = os.fstat(1)
        if stat.st_mode & 0o170000 != 0o100000 or not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_APPEND:
            return -1
        return os.dup(1)
    except OSError:
        return -1


def read_job(frame: wire.Frame) -> Dict[str, Any]:
    """The job that a JOB frame holds. Raises ValueError, RecursionError or OSError when it cannot be read."""
    path = frame.header.get("path")
    if path is None:
        job = wire.value(frame.body.decode())
    else:
        with open(path, "rb") as file:
            large = json.loads(file.read())
        job = dict(json.loads(frame.body), input=large) if frame.body else large
    if not isinstance(job, dict):
        raise ValueError("it is not an object")
    return job
