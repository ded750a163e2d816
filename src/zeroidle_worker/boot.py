"""Boots a worker: connects to the plane, runs the handler's file, and serves the handler that it starts."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

from zeroidle_worker import current, parent, wire
from zeroidle_worker.handler import BadHandler
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.settings import Settings, SettingsError, take

#: Which `sdk` a worker with our light module names in its HELLO.
SHIM = "shim"

#: Phases shorter than this are not worth a line in a timeline, in seconds.
_SHORT_S = 0.001


class Boot:
    """One worker from its first line to its last. `born` is when it began, in Unix seconds."""

    def __init__(self, settings: Settings, link: Link, born: float) -> None:
        self.settings = settings
        self.link = link
        self.born = born
        self.started = False
        self.hidden: Dict[str, str] = {}
        self._import_began = 0.0
        self._inner: List[Tuple[float, float]] = []

    def run(self) -> NoReturn:
        """Everything. Ends the process."""
        if self.settings.sdk == "real":
            from zeroidle_worker import preload, real

            if "ZEROIDLE_RECORD" in self.settings.taken:
                reason = "it runs with the real runpod package, which starts threads when it is imported"
                preload.record(self.settings.taken["ZEROIDLE_RECORD"], reason)
            real.run(self.settings, self.link)
        self._hello()
        self.hidden = hide_token(self.settings.token)
        current.worker.phase = self._inner_phase
        self._import_began = time.time()
        self._send(wire.PHASE, {"name": "boot", "start": self.born, "end": self._import_began})
        try:
            self._run_file()
        except Gone as exc:
            leave(1, str(exc))
        except BaseException as exc:
            from zeroidle_worker import failure

            self.fail(*failure.of_import(exc, self.settings.handler), exc=exc)
        self.fail(
            "no-start",
            "%s ended without calling runpod.serverless.start(); end the file with "
            'runpod.serverless.start({"handler": handler}).' % self.settings.handler,
        )

    def _hello(self) -> None:
        header = {
            "worker_id": self.settings.worker_id, "token": self.settings.token, "pid": os.getpid(),
            "python": sys.version.split()[0], "sdk": SHIM,
        }  # fmt: skip
        self._send(wire.HELLO, header)

    def _run_file(self) -> None:
        from zeroidle_worker import runpod_shim, script
        from zeroidle_worker.api import names

        if self.settings.concurrency > 1:  # before the handler's loggers take hold of the streams
            from zeroidle_worker import tagged

            tagged.install()
        runpod_shim.install(self)
        names.install()
        path = self.settings.handler
        if self.settings.name or script.declares_only(path):
            self._serve_declared(path)
            return
        script.run_script(path)
        _join_threads()  # one of them may be the one that serves
        if not self.started and "zeroidle_worker.api.declare" in sys.modules:
            self._serve_declared(path)

    def _serve_declared(self, path: str) -> None:
        from zeroidle_worker import declared

        try:
            chosen = declared.choose(path, self.settings)
        except BadHandler as exc:
            self.fail("bad-handler", str(exc))
        if chosen is not None and not self.started:
            self._import_ended()
            service = chosen.set_up(self._stretch)
            self.serve(lambda: service)

    # -- from the handler's file on

    def serve(self, make: Callable[[], Any]) -> NoReturn:
        """Serves what `make` answers (a Service) until the worker has drained, then ends the process."""
        if self.started:
            raise RuntimeError("runpod.serverless.start was called twice in one process.")
        self.started = True
        self._import_ended()
        current.worker.phase = self._phase
        try:
            service = make()
        except BadHandler as exc:
            self.fail("bad-handler", str(exc))
        from zeroidle_worker.run import run

        self._record()
        try:
            run(service, self.link, self.settings)
        except Gone as exc:
            leave(1, str(exc))
        self._record()  # with what the first jobs imported
        leave(0)

    def _record(self) -> None:
        """On the handler's first run: notes its imports for a fork server."""
        path = self.settings.taken.get("ZEROIDLE_RECORD")
        if path:
            from zeroidle_worker import preload

            preload.record(path)

    def fail(self, reason: str, sentence: str, trace: str = "", exc: Optional[BaseException] = None) -> NoReturn:
        """Tells the plane that this worker cannot work, and ends the process."""
        from zeroidle_worker.outcome import log_failure, trace_text

        if exc is not None:
            trace = trace_text(exc)
        log_failure(trace, sentence)
        try:
            self._send(wire.FAILED, {"reason": reason, "message": sentence}, trace.encode("utf-8", "replace"))
        except Gone:
            leave(1)
        leave(1)

    # -- phases

    def _inner_phase(self, name: str, start: float, end: float) -> None:
        self._inner.append((start, end))
        self._phase(name, start, end)

    def _phase(self, name: str, start: float, end: float) -> None:
        try:
            self._send(wire.PHASE, {"name": name, "start": start, "end": end})
        except Gone:
            return  # the loop finds out by itself

    def _import_ended(self) -> None:
        if self._import_began:
            self._stretch("import", self._import_began, time.time())
            self._import_began = 0.0

    def _stretch(self, name: str, start: float, end: float) -> None:
        """Reports a phase without the stretches in it that have a name of their own (weights)."""
        pieces: List[Tuple[float, float]] = []
        for inner_start, inner_end in sorted(self._inner):
            if inner_start - start >= _SHORT_S:
                pieces.append((start, inner_start))
            start = max(start, inner_end)
        if end - start >= _SHORT_S or not pieces:
            pieces.append((start, max(start, end)))
        self._inner.clear()
        for begin, finish in pieces:
            self.link.push(wire.pack(wire.PHASE, {"name": name, "start": begin, "end": finish}))

    def _send(self, kind: int, header: Dict[str, Any], body: bytes = b"") -> None:
        self.link.send(wire.pack(kind, header, body))


#: The worker that this process is; None in the handler's own child processes.
booted: Optional[Boot] = None


def main(settings: Optional[Settings] = None, born: Optional[float] = None) -> NoReturn:
    """Makes this process a worker. A forked child calls it too, with everything already imported; `born` is then when
    it was forked."""
    global booted
    try:
        settings = settings or take()
    except SettingsError as exc:
        leave(2, str(exc))
    if settings.parent_fd is not None:
        parent.guard(settings.parent_fd)
    if os.environ.get("ZEROIDLE_WEIGHTS_USES"):
        from zeroidle_worker import weights

        weights.hold()
    try:
        link = Link.connect(settings.socket, settings.socket_fd)
    except OSError as exc:
        leave(1, "The plane's socket %s cannot be reached: %s." % (settings.socket, exc.strerror or exc))
    booted = Boot(settings, link, born or process_began())
    os.register_at_fork(after_in_child=_forget)
    try:
        booted.run()
    except Gone as exc:
        leave(1, str(exc))


def _forget() -> None:
    global booted
    booted = None


def process_began() -> float:
    """When this process was started, in Unix seconds, to a hundredth."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time()
    return time.time() - max(0.0, age_s)


def hide_token(token: str) -> Dict[str, str]:
    """Takes the worker's token out of the environment, which the handler and its children see; answers what was
    there."""
    hidden = {name: value for name, value in os.environ.items() if token in value and name.startswith("RUNPOD_")}
    for name, value in hidden.items():
        if value == token:
            del os.environ[name]
        else:
            os.environ[name] = value.replace(token, "hidden")
    return hidden


def _join_threads() -> None:
    """Waits for the threads that keep an interpreter alive after the last line of its script."""
    import threading

    own = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not own and not thread.daemon:
            thread.join()


def leave(code: int, sentence: str = "") -> NoReturn:
    """Ends the process at once: taking a large library down in order can cost half a second."""
    import atexit

    if sentence:
        try:
            sys.stderr.write(sentence + "\n")
        except Exception:  # closed by the handler
            os.write(2, (sentence + "\n").encode())
    try:
        atexit._run_exitfuncs()  # what the handler registered: loggers, temporary folders, children
    except BaseException:
        code = code or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed by the handler
            continue
    os._exit(code)
