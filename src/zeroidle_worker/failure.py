"""Says in one sentence why a handler's file could not be run."""

from __future__ import annotations

import os
import sys
from typing import Tuple


def of_import(exc: BaseException, path: str) -> Tuple[str, str]:
    """The reason (a short word) and the sentence for what the file raised."""
    name = os.path.basename(path)
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        return "missing-module", _missing(exc.name, path)
    if isinstance(exc, SyntaxError):
        where = "%s, line %s" % (os.path.basename(exc.filename or name), exc.lineno)
        return "import-error", "%s: %s (%s)." % (type(exc).__name__, exc.msg, where)
    if isinstance(exc, SystemExit):
        return "import-error", "%s ended by sys.exit(%s) before it called runpod.serverless.start()." % (
            name, "" if exc.code is None else repr(exc.code),
        )  # fmt: skip
    if isinstance(exc, FileNotFoundError) and exc.filename == path:
        return "import-error", "The handler %s is not there any more." % path
    text = str(exc)
    return "import-error", "%s: %s" % (type(exc).__name__, text) if text else type(exc).__name__


def _missing(module: str, path: str) -> str:
    package = module.partition(".")[0]
    return (
        "%s needs the module %s, which %s does not have; run %s -m pip install %s, or set `python` to an interpreter "
        "that has it." % (os.path.basename(path), module, sys.executable, sys.executable, package)
    )
