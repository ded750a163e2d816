"""Runs a handler file with the real `runpod` package, which then takes its jobs over HTTP by itself."""

from __future__ import annotations

import os
import runpy
import sys
import time
from typing import Any, NoReturn, Optional, Tuple

from zeroidle_worker import wire
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import log_text, trace_text
from zeroidle_worker.real_guards import Guards
from zeroidle_worker.settings import Settings

#: Checks of the package that fail on a machine without a public DNS server or with a full disk; the plane does its
#: own. What the endpoint sets wins.
_UNCHECKED = ("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "RUNPOD_SKIP_GPU_CHECK")


def run(settings: Settings, link: Link) -> NoReturn:
    """Runs the handler's file until its worker has drained, then ends the process.

    The plane learns of the phases and of a failed start over `link`; the first job-take over HTTP tells it that the
    worker is ready. Never returns: the exit status is 0 after a drain, 1 after a failed start, else what the
    handler's file asked for.
    """
    worker = _RealWorker(settings, link)
    try:
        code = worker.run()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # closed or replaced by the handler
                continue
    # Not sys.exit: it would wait for threads that the handler left, and for the package's pinging process.
    os._exit(code)


class _RealWorker:
    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._import_began = 0.0
        self._started = False

    def run(self) -> int:
        """Answers the exit status."""
        hello = {
            "worker_id": self._settings.worker_id, "token": self._settings.token, "pid": os.getpid(),
            "python": sys.version.split()[0], "sdk": "real",
        }  # fmt: skip
        self._send(wire.pack(wire.HELLO, hello))
        self._prepare()
        self._import_began = time.time()
        try:
            runpy.run_path(self._settings.handler, run_name="__main__")
        except SystemExit as exc:
            if self._started or _status(exc):
                return self._ended(exc)
        except BaseException as exc:
            return self._broke(exc)
        return 0 if self._started else self._fail("no-start", _NO_START % self._settings.handler)

    def _prepare(self) -> None:
        handler = self._settings.handler
        sys.argv = [handler]  # the package reads its own options from it
        folder = os.path.dirname(handler)
        if not sys.path or sys.path[0] != folder:
            sys.path.insert(0, folder)
        for name in _UNCHECKED:
            os.environ.setdefault(name, "true")
        Guards(self._settings.scratch, self._on_start).install()

    def _on_start(self) -> None:
        if self._started:
            return
        self._started = True
        phase = {"name": "import", "start": self._import_began, "end": time.time()}
        self._send(wire.pack(wire.PHASE, phase))

    def _ended(self, exc: SystemExit) -> int:
        """The file ended itself: after the start that is the package's own way, or a handler's."""
        code = _status(exc)
        if not self._started:
            return self._fail("import-error", "%s ended by sys.exit(%r)." % (self._settings.handler, exc.code), exc)
        if isinstance(exc.code, str):
            log_text(exc.code)
        return code

    def _broke(self, exc: BaseException) -> int:
        if isinstance(exc, ModuleNotFoundError) and not self._started:
            return self._fail(*_missing(exc), exc=exc)
        if self._started:
            sentence = "The runpod package ended with %s: %s" % (type(exc).__name__, exc)
            return self._fail("bad-handler", sentence, exc)
        return self._fail("import-error", "%s: %s" % (type(exc).__name__, exc), exc)

    def _fail(self, reason: str, sentence: str, exc: Optional[BaseException] = None) -> int:
        trace = _trace(exc) if exc is not None else ""
        log_text(trace or sentence)
        self._send(wire.pack(wire.FAILED, {"reason": reason, "message": sentence}, trace.encode("utf-8", "replace")))
        return 1

    def _send(self, frame: bytes) -> None:
        try:
            self._link.send(frame)
        except Gone as exc:
            raise SystemExit("The plane is gone: %s" % exc) from exc


_NO_START = (
    "%s ended without calling runpod.serverless.start(); end the file with "
    'runpod.serverless.start({"handler": handler}).'
)


def _missing(exc: ModuleNotFoundError) -> Tuple[str, str]:
    if exc.name == "runpod":
        return "real-sdk-missing", (
            'The handler runs with the real runpod package (sdk = "real"), which %s does not have; run '
            "%s -m pip install runpod" % (sys.executable, sys.executable)
        )
    return "missing-module", (
        "The handler imports %s, which %s does not have; install it there: %s -m pip install ..."
        % (exc.name, sys.executable, sys.executable)
    )


def _status(exc: SystemExit) -> int:
    code: Any = exc.code
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _trace(exc: BaseException) -> str:
    """The traceback from the handler's file on: without this program's frames and those of `runpy`."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None and _ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace_text(exc.with_traceback(trace))


def _ours(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen runpy")) or os.path.basename(filename) == "runpy.py"


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
