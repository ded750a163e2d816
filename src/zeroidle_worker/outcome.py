"""What RunPod's SDK makes of a handler's return value or exception: the body of a DONE frame."""

from __future__ import annotations

import json
import os
import sys
from types import TracebackType
from typing import Any, NamedTuple, Optional

from zeroidle_worker.encode import NotJson, encode
from zeroidle_worker.script import run_script

#: The version of RunPod's SDK whose behaviour this follows.
RUNPOD_VERSION = "1.12.0"

_TRACEBACK_MAX = 32 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_IMPORTER = "<frozen importlib"


class Outcome(NamedTuple):
    """The body of DONE, and whether the worker is to be replaced after this job."""

    body: bytes
    refresh: bool = False


def returned(value: Any) -> Outcome:
    """A dict gives its `error` and `refresh_worker` to the platform; the rest of it is the output. An empty dict is
    no output."""
    refresh = False
    error = None
    if isinstance(value, dict) and ("error" in value or "refresh_worker" in value):
        value = dict(value)
        error = value.pop("error", None)
        refresh = bool(value.pop("refresh_worker", None))
    try:
        output = b"" if isinstance(value, dict) and not value else encode(value)
        if not error:
            return Outcome(b'{"output":%s}' % output if output else b"{}", refresh)
        text = encode(error if isinstance(error, str) else encode(error, "error").decode())
    except NotJson as exc:
        return Outcome(failed(str(exc)), refresh)
    return Outcome(b'{"error":%s%s}' % (text, b',"output":%s' % output if output else b""), refresh)


def failed(sentence: str) -> bytes:
    """The body for a failure that one sentence explains."""
    return b'{"error":%s}' % encode(sentence)


def raised(exc: BaseException, worker_id: str) -> Outcome:
    """The body for an exception of a handler, in the SDK's form; the traceback goes to the log as well."""
    if isinstance(exc, SystemExit):
        # It is reported and then obeyed: a handler does this when its process is beyond help.
        sentence = "The handler called sys.exit(%s); the worker is replaced." % _code(exc)
        return Outcome(failed(sentence), refresh=True)
    if _is_callers(exc):
        return Outcome(failed(str(exc)))
    trace = trace_text(exc)
    log_text(trace)
    info = {
        "error_type": str(type(exc)),
        "error_message": _text(exc),
        "error_traceback": trace,
        "hostname": os.environ.get("RUNPOD_POD_HOSTNAME", "unknown"),
        "worker_id": os.environ.get("RUNPOD_POD_ID", worker_id),
        "runpod_version": RUNPOD_VERSION,
    }
    # After a MemoryError nobody knows what else is missing in this process.
    return Outcome(failed(json.dumps(info)), refresh=isinstance(exc, MemoryError))


def generator_raised(exc: BaseException) -> Outcome:
    """The body for an exception of a generator handler, in the SDK's form."""
    if isinstance(exc, SystemExit) or _is_callers(exc):
        return raised(exc, "")
    trace = trace_text(exc)
    log_text(trace)
    return Outcome(failed("handler: %s \ntraceback: %s" % (_text(exc), trace)), refresh=isinstance(exc, MemoryError))


def _is_callers(exc: BaseException) -> bool:
    """Whether the input is at fault: its sentence is for the caller, and a traceback would only hide it."""
    errors = sys.modules.get("zeroidle_worker.api.errors")
    return errors is not None and isinstance(exc, errors.InputError)


def trace_text(exc: BaseException) -> str:
    """The traceback without this program's own frames, cut in the middle when it is very long."""
    import traceback

    frames = _skip_own(exc.__traceback__)
    try:
        text = "".join(traceback.format_exception(type(exc), exc, frames))
    except Exception:  # an exception whose own __str__ or __cause__ fails
        text = "%s (its traceback cannot be shown)\n" % type(exc).__name__
    if len(text) > _TRACEBACK_MAX:
        half = _TRACEBACK_MAX // 2
        text = "%s\n... %d characters left out ...\n%s" % (text[:half], len(text) - 2 * half, text[-half:])
    return text


def log_text(text: str) -> None:
    """Writes to standard error whatever state it is in."""
    try:
        sys.stderr.write(text if text.endswith("\n") else text + "\n")
        sys.stderr.flush()
    except Exception:  # closed or replaced by the handler
        try:
            os.write(2, text.encode("utf-8", "replace"))
        except OSError:
            return


def log_failure(trace: str, sentence: str) -> None:
    """Writes a traceback, and the sentence where that says more than the traceback's last line."""
    if trace:
        log_text(trace)
    if not trace or not sentence.startswith(trace.rstrip().rpartition("\n")[2]):
        log_text(sentence)


def _skip_own(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    last = None
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_HERE, _IMPORTER)):
        last, trace = trace, trace.tb_next
    if trace is None and last is not None:
        code = last.tb_frame.f_code
        # The handler's file could not be read or compiled: no line of it has run, and the message says where it is
        # wrong. Anything else that happened in here is our fault, and must be seen.
        return None if code is run_script.__code__ or code.co_filename.startswith(_IMPORTER) else last
    return trace


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "(its message cannot be shown)"


def _code(exc: SystemExit) -> str:
    return "" if exc.code is None else repr(exc.code)
