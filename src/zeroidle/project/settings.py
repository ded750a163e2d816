"""The table of settings: the one place from which TOML keys, command-line flags and their reference page come."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zeroidle.project.setting import Setting
from zeroidle.project.settings_handler import HANDLER
from zeroidle.project.settings_serving import SERVING


def default_python() -> str:
    """The interpreter of the active virtual environment, or else the one that runs ZeroIdle."""
    active = os.environ.get("VIRTUAL_ENV")
    if active:
        python = Path(active) / "bin" / "python"
        if python.is_file():
            return str(python)
    return sys.executable


SETTINGS: tuple[Setting, ...] = (*SERVING, *HANDLER)

#: Settings that are tables and files rather than single values; `load` treats them itself.
ENV_DOC = (
    "Environment variables of the workers. `${NAME}` takes a value from the environment in which `zeroidle up` runs, "
    "`${NAME:-other}` gives a substitute, `$$` is a dollar sign."
)
ENV_FILE_DOC = (
    "A file of NAME=value lines that is read into the workers' environment; `env` wins over it. Default: `.env` "
    "beside `zeroidle.toml` and beside the handler, when there is one. `false` reads none."
)

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

#: Every key that a table [endpoint.NAME] may have.
KEYS: tuple[str, ...] = (*BY_NAME, "env", "env_file")
