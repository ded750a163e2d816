"""Recognises from its last words why a worker or a job failed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence

from zeroidle.endpoint import Endpoint
from zeroidle.insight.facts import Verdict

_NO_MODULE = re.compile(r"No module named ['\"]([A-Za-z0-9_.]+)['\"]")
_NO_NAME = re.compile(r"cannot import name ['\"](\w+)['\"] from ['\"]([\w.]+)['\"]")
_NOT_JSON = re.compile(
    r"not JSON[ -]seriali[sz]able|(not|non)[ -]seriali[sz]able|cannot be written as JSON|is not (a )?JSON"
)
_EVIDENCE_LINES = 12

#: Modules whose package has another name.
PACKAGES = {
    "PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "PyYAML",
    "bs4": "beautifulsoup4", "dotenv": "python-dotenv", "dateutil": "python-dateutil", "Crypto": "pycryptodome",
    "jwt": "PyJWT", "magic": "python-magic", "multipart": "python-multipart", "fitz": "PyMuPDF", "docx": "python-docx",
    "serial": "pyserial", "git": "GitPython", "google.protobuf": "protobuf", "faiss": "faiss-cpu",
    "whisper": "openai-whisper", "chatterbox": "chatterbox-tts", "boto": "boto3", "zmq": "pyzmq",
}  # fmt: skip


def tail(text: str | Sequence[str] | None, lines: int = _EVIDENCE_LINES) -> tuple[str, ...]:
    """The last lines that say something."""
    if not text:
        return ()
    split = text.splitlines() if isinstance(text, str) else list(text)
    return tuple(line.rstrip() for line in split if line.strip())[-lines:]


def package_of(module: str) -> str:
    """The name under which pip knows a module."""
    return PACKAGES.get(module) or PACKAGES.get(module.split(".")[0]) or module.split(".")[0]


def recognise(endpoint: Endpoint, text: str, exit_text: str | None = None) -> Verdict | None:
    """A verdict for the last words of a worker (its error and log) and the way its process ended, when known."""
    exit_text = exit_text or ""
    return _first(
        text,
        _memory(endpoint, text, exit_text),
        _module(endpoint, text),
        _interpreter(endpoint, text),
        _start(endpoint, text, exit_text),
        _result(text),
        _native(text, exit_text),
    )


def recognise_error(endpoint: Endpoint, text: str) -> Verdict | None:
    """A verdict for the error that a handler raised or returned on one job, when known."""
    return _first(text, _memory(endpoint, text, ""), _module(endpoint, text), _result(text))


def _first(text: str, *found: Verdict | None) -> Verdict | None:
    verdict = next((v for v in found if v is not None), None)
    return dataclasses.replace(verdict, evidence=tail(text)) if verdict else None


def _memory(endpoint: Endpoint, text: str, exit_text: str) -> Verdict | None:
    gpu = "CUDA out of memory" in text or "CUDA error: out of memory" in text or "OutOfMemoryError: CUDA" in text
    if gpu:
        return Verdict(
            "out-of-gpu-memory",
            "The GPU's memory was not enough.",
            "Send smaller inputs, lower the concurrency, load a smaller model or one of lower precision, or use a GPU "
            "with more memory.",
        )
    if "out of memory" in exit_text.lower() or "out of memory" in text.lower() or "MemoryError" in text:
        return Verdict(
            "out-of-memory",
            "The worker used more memory than the machine or its limit allows and was ended.",
            f"Give the machine more memory, lower concurrency ({endpoint.concurrency}) or the maximum of workers "
            f"({endpoint.max_workers}) of [endpoint.{endpoint.name}], or send smaller inputs.",
        )
    return None


def _module(endpoint: Endpoint, text: str) -> Verdict | None:
    if "ModuleNotFoundError" not in text and "No module named" not in text:
        return None
    match = _NO_MODULE.search(text)
    if match is None:
        return None
    module = match.group(1)
    package = package_of(module)
    return Verdict(
        "missing-module",
        f"The interpreter {endpoint.python} has no module {module}, which the handler imports.",
        f"Add it: {endpoint.python} -m pip install {package}   Or name the interpreter that has it: "
        f'python = "PATH" in [endpoint.{endpoint.name}], or --python PATH.',
    )


def _interpreter(endpoint: Endpoint, text: str) -> Verdict | None:
    name = endpoint.name
    if "Exec format error" in text or "cannot execute binary file" in text:
        return Verdict(
            "wrong-interpreter",
            f"{endpoint.python} is made for another kind of processor or is no program.",
            f"Name an interpreter of this machine: python in [endpoint.{name}], or --python PATH.",
        )
    if re.search(r"GLIBC(XX)?_[\d.]+' not found", text) or "undefined symbol" in text:
        return Verdict(
            "wrong-interpreter",
            f"A library in the environment of {endpoint.python} was built for another system.",
            f"Install the packages anew on this machine, or name another interpreter: python in [endpoint.{name}].",
        )
    if match := _NO_NAME.search(text):
        return Verdict(
            "wrong-package",
            f"The module {match.group(2)} in the environment of {endpoint.python} has no {match.group(1)}.",
            f"Its version does not fit the handler: {endpoint.python} -m pip install --upgrade "
            f"{package_of(match.group(2))}",
        )
    if "SyntaxError" in text:
        return Verdict(
            "syntax-error",
            f"{endpoint.python} cannot read the handler's source (SyntaxError).",
            f"Correct the line below, or, when it is Python of a newer version, name a newer interpreter: python in "
            f"[endpoint.{name}].",
        )
    if "interpreter" in text and ("not there" in text or "does not exist" in text or "No such file" in text):
        return Verdict(
            "wrong-interpreter",
            f"The interpreter {endpoint.python} does not exist.",
            f"Make the environment, or name another one: python in [endpoint.{name}], or --python PATH.",
        )
    return None


def _start(endpoint: Endpoint, text: str, exit_text: str) -> Verdict | None:
    words = f"{text}\n{exit_text}"
    if "no-start" in words or "no start()" in words or "without calling" in words:
        return Verdict(
            "no-start",
            f"{endpoint.handler.name} ended without calling runpod.serverless.start().",
            'End the file with: runpod.serverless.start({"handler": handler})',
        )
    if "real-sdk-missing" in words:
        return Verdict(
            "missing-module",
            f"The interpreter {endpoint.python} has no package runpod, which this handler needs in full.",
            f"Add it: {endpoint.python} -m pip install runpod",
        )
    if "bad-handler" in words:
        return Verdict(
            "bad-handler",
            f"What {endpoint.handler.name} gives to runpod.serverless.start() is not a handler.",
            'Give it {"handler": FUNCTION}, where FUNCTION takes one job.',
        )
    return None


def _result(text: str) -> Verdict | None:
    if _NOT_JSON.search(text):
        return Verdict(
            "not-serialisable",
            "The handler returned something that cannot be written as JSON.",
            "Return dicts, lists, texts, numbers, booleans or None: .tolist() for arrays, base64 text for bytes, "
            "float() for a single number.",
        )
    return None


def _native(text: str, exit_text: str) -> Verdict | None:
    names = {
        "signal 11": "SIGSEGV",
        "signal 6": "SIGABRT",
        "signal 4": "SIGILL",
        "signal 7": "SIGBUS",
        "signal 8": "SIGFPE",
    }
    for words, name in names.items():
        if exit_text == words or f"{words})" in text or text.strip().endswith(words):
            hint = " An instruction that this processor lacks is the usual reason." if name == "SIGILL" else ""
            return Verdict(
                "native-crash",
                f"The worker's process crashed inside a native library ({name}).",
                f'Set PYTHONFAULTHANDLER = "1" in env to see where, and try another version of that library.{hint}',
            )
    return None


def split_error(error: str | None) -> tuple[str, str, tuple[str, ...]]:
    """(type, message, traceback lines) of a job's error; the SDK packs the three into JSON text."""
    if not error:
        return "", "", ()
    try:
        packed = json.loads(error)
    except ValueError:
        packed = None
    if isinstance(packed, dict) and ("error_message" in packed or "error_type" in packed):
        kind = str(packed.get("error_type", "")).removeprefix("<class '").removesuffix("'>")
        return kind, str(packed.get("error_message", "")), tail(str(packed.get("error_traceback", "")))
    head, _, trace = error.partition("\ntraceback: ")
    lines = tail(trace)
    if not lines and "Traceback (most recent call last)" in error:
        lines = tail(error)
        return "", lines[-1] if lines else error, lines
    return "", head.strip(), lines
