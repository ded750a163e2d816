"""Runs a handler's file with the real `runpod` package, which then takes its jobs over HTTP by itself."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, NoReturn, Optional, Tuple

from zeroidle_worker import failure, wire
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import log_failure, log_text, trace_text
from zeroidle_worker.real_guards import Guards
from zeroidle_worker.script import run_script
from zeroidle_worker.settings import Settings

#: The name in HELLO by which the plane knows that jobs go over HTTP.
REAL = "real"

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_NO_START = (
    "%s ended without calling runpod.serverless.start(); end the file with "
    'runpod.serverless.start({"handler": handler}).'
)
_NO_SDK = (
    "The handler runs with the real runpod package, which %s does not have; run %s -m pip install runpod, or set "
    "`python` to an interpreter that has it."
)


def run(settings: Settings, link: Link) -> NoReturn:
    """Runs the handler's file until its worker has drained, then ends the process.

    The plane learns of the phases and of a failed start over `link`; the first job-take over HTTP tells it that the
    worker is ready. The exit status is 0 after a drain, 1 after a failed start, else what the file asked for. Raises
    Gone when the plane is gone before the handler has started.
    """
    from zeroidle_worker.boot import leave

    code = _RealWorker(settings, link).run()
    _end_children()
    leave(code)


class _RealWorker:
    def __init__(self, settings: Settings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._import_began = 0.0
        self._started = False

    def run(self) -> int:
        """Answers the exit status."""
        from zeroidle_worker.boot import process_began

        began = time.time()
        hello = {
            "worker_id": self._settings.worker_id, "token": self._settings.token, "pid": os.getpid(),
            "python": sys.version.split()[0], "sdk": REAL,
        }  # fmt: skip
        self._link.push(wire.pack(wire.HELLO, hello))
        self._import_began = time.time()
        # After a start with the light module the process is older than this try: that stretch has its own phases.
        began = process_began() if self._settings.socket_fd is None else began
        self._phase("boot", began, self._import_began)
        _prepare_environment()
        Guards(self._settings.scratch, self._on_start).install()
        return self._run_file()

    def _run_file(self) -> int:
        try:
            run_script(self._settings.handler)
        except Gone:
            raise
        except SystemExit as exc:
            if self._started:  # the package's own way to end, or the handler's
                return _status(exc)
            if exc.code:
                return self._fail(*failure.of_import(exc, self._settings.handler), exc=exc)
        except BaseException as exc:
            return self._fail(*self._reason(exc), exc=exc)
        return 0 if self._started else self._fail("no-start", _NO_START % self._settings.handler)

    def _on_start(self) -> None:
        if not self._started:
            self._started = True
            self._phase("import", self._import_began, time.time())

    def _reason(self, exc: BaseException) -> Tuple[str, str]:
        if self._started:
            return "bad-handler", "The runpod package gave up with %s: %s" % (type(exc).__name__, exc)
        if isinstance(exc, ModuleNotFoundError) and exc.name == "runpod":
            return "real-sdk-missing", _NO_SDK % (sys.executable, sys.executable)
        return failure.of_import(exc, self._settings.handler)

    def _phase(self, name: str, start: float, end: float) -> None:
        self._link.send(wire.pack(wire.PHASE, {"name": name, "start": start, "end": end}))

    def _fail(self, reason: str, sentence: str, exc: Optional[BaseException] = None) -> int:
        trace = trace_text(exc.with_traceback(_foreign(exc.__traceback__))) if exc is not None else ""
        log_failure(trace, sentence)
        body = trace.encode("utf-8", "replace")
        self._link.send(wire.pack(wire.FAILED, {"reason": reason, "message": sentence}, body))
        return 1


def _prepare_environment() -> None:
    """What the endpoint has set wins."""
    env = os.environ
    # These checks fail on a machine without a public DNS server or with a full disk; the plane does its own.
    env.setdefault("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "true")
    env.setdefault("RUNPOD_SKIP_GPU_CHECK", "true")
    if "RUNPOD_DEBUG_LEVEL" not in env:
        # Its own default, DEBUG, writes a line into the log at every ping.
        env.setdefault("RUNPOD_LOG_LEVEL", "INFO")


def _foreign(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """The traceback without the frames of this program, which stand before and between those of the handler."""
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_HERE):
            kept.append(trace)
        trace = trace.tb_next
    made: Optional[TracebackType] = None
    for one in reversed(kept):
        made = TracebackType(made, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return made


def _status(exc: SystemExit) -> int:
    code: Any = exc.code
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    log_text(str(code))
    return 1


def _end_children() -> None:
    """Kills the package's pinging process: at the end of ours it is asked to end and then waited for, and it does
    not end when the handler had set a signal handler before."""
    if "multiprocessing" not in sys.modules:
        return
    import multiprocessing

    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
