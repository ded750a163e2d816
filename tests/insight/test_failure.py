"""The causes that `why` recognises from a worker's last words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.insight.failure import package_of, recognise, recognise_error, split_error

ENDPOINT = Endpoint("hello", Path("/app/handler.py"), Path("/app"), "/venv/bin/python")


@pytest.mark.parametrize(
    ("text", "exit_text", "code"),
    [
        ("ModuleNotFoundError: No module named 'torch'", "exit 1", "missing-module"),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "exit 1", "out-of-gpu-memory"),
        ("", "out of memory", "out-of-memory"),
        ("MemoryError", "exit 1", "out-of-memory"),
        ("OSError: [Errno 8] Exec format error", "exit 126", "wrong-interpreter"),
        ("ImportError: libc.so.6: version `GLIBC_2.38' not found", "exit 1", "wrong-interpreter"),
        ("ImportError: cannot import name 'Foo' from 'bar.baz' (/x.py)", "exit 1", "wrong-package"),
        ('  File "handler.py", line 3\nSyntaxError: invalid syntax', "exit 1", "syntax-error"),
        ("no-start", "exit 1", "no-start"),
        ("real-sdk-missing", "exit 1", "missing-module"),
        ("bad-handler", "exit 1", "bad-handler"),
        ("TypeError: Object of type bytes is not JSON serializable", None, "not-serialisable"),
        ("", "signal 11", "native-crash"),
        ("", "signal 4", "native-crash"),
    ],
)
def test_a_cause_is_recognised_and_comes_with_advice(text: str, exit_text: str | None, code: str) -> None:
    verdict = recognise(ENDPOINT, text, exit_text)
    assert verdict is not None and verdict.code == code and verdict.advice


@pytest.mark.parametrize("text", ["ValueError: the memory of an elephant", "KeyError: 'module'", "exit 1", ""])
def test_what_is_not_known_is_not_guessed(text: str) -> None:
    assert recognise(ENDPOINT, text, "exit 1") is None
    assert recognise_error(ENDPOINT, text) is None


def test_the_package_is_named_as_pip_knows_it() -> None:
    assert [package_of(m) for m in ("cv2", "PIL.Image", "yaml", "numpy.linalg")] == [
        "opencv-python", "pillow", "PyYAML", "numpy",
    ]  # fmt: skip
    verdict = recognise(ENDPOINT, "ModuleNotFoundError: No module named 'cv2'")
    assert verdict is not None and "/venv/bin/python -m pip install opencv-python" in verdict.advice


def test_a_real_import_error_is_recognised(tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", "import surely_nowhere.sub"], capture_output=True, text=True, check=False
    )
    verdict = recognise(ENDPOINT, done.stderr, "exit 1")
    assert verdict is not None and verdict.code == "missing-module" and "surely_nowhere" in verdict.sentence
    assert verdict.evidence[-1].startswith("ModuleNotFoundError")


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (None, ("", "", ())),
        ("plain", ("", "plain", ())),
        ('{"error_type": "<class \'ValueError\'>", "error_message": "no", "error_traceback": "Traceback\\n line"}',
         ("ValueError", "no", ("Traceback", " line"))),
        ("handler: no \ntraceback: a\nb", ("", "handler: no", ("a", "b"))),
        ('{"other": 1}', ("", '{"other": 1}', ())),
    ],
)  # fmt: skip
def test_the_sdks_error_is_taken_apart(error: str | None, parts: tuple[str, str, tuple[str, ...]]) -> None:
    assert split_error(error) == parts
