"""What the plane tells a worker through its environment."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Optional

#: Read once and then removed, so that the handler and its children do not see them. ZEROIDLE_PLANE and
#: ZEROIDLE_WORKER stay: by them a plane finds processes that outlived their worker.
TAKEN = (
    "ZEROIDLE_SOCKET", "ZEROIDLE_SOCKET_FD", "ZEROIDLE_WORKER_ID", "ZEROIDLE_WORKER_TOKEN", "ZEROIDLE_HANDLER",
    "ZEROIDLE_SDK", "ZEROIDLE_CONCURRENCY", "ZEROIDLE_SPOOL", "ZEROIDLE_SCRATCH", "ZEROIDLE_PARENT_FD",
    "ZEROIDLE_RECORD", "ZEROIDLE_NAME", "ZEROIDLE_SETTINGS",
)  # fmt: skip


class SettingsError(Exception):
    """A variable is missing or makes no sense; the sentence says which."""


class Settings(NamedTuple):
    """The settings of one worker. `socket_fd` is an open connection to the plane, left by an earlier run of the same
    process; `taken` are the raw variables, to start again with; `name` is the declared endpoint to serve, when the file
    declares several, and
    `declared` are the settings that win over those of its decorator."""

    socket: str
    socket_fd: Optional[int]
    worker_id: str
    token: str
    handler: str
    sdk: str
    concurrency: int
    spool: str
    scratch: str
    parent_fd: Optional[int]
    taken: Dict[str, str]
    name: str = ""
    declared: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return "Settings(%s)" % self.worker_id  # the token is shown nowhere


def take() -> Settings:
    """Reads the settings and removes them from `os.environ`. Raises SettingsError."""
    env = os.environ
    taken = {name: env.pop(name) for name in TAKEN if name in env}
    for name in ("ZEROIDLE_SOCKET", "ZEROIDLE_WORKER_ID", "ZEROIDLE_WORKER_TOKEN", "ZEROIDLE_HANDLER"):
        if not taken.get(name):
            raise SettingsError(
                "%s is not set: this program is started by a plane; run `zeroidle up handler.py` instead." % name
            )
    sdk = taken.get("ZEROIDLE_SDK", "auto")
    if sdk not in ("auto", "shim", "real"):
        raise SettingsError('ZEROIDLE_SDK is "%s"; it must be auto, shim or real.' % sdk)
    worker_id = taken["ZEROIDLE_WORKER_ID"]
    scratch = taken.get("ZEROIDLE_SCRATCH") or os.path.join(env.get("ZEROIDLE_PLANE", "."), "workers", worker_id)
    return Settings(
        socket=taken["ZEROIDLE_SOCKET"],
        socket_fd=_number(taken, "ZEROIDLE_SOCKET_FD"),
        worker_id=worker_id,
        token=taken["ZEROIDLE_WORKER_TOKEN"],
        handler=os.path.abspath(taken["ZEROIDLE_HANDLER"]),
        sdk=sdk,
        concurrency=max(1, _number(taken, "ZEROIDLE_CONCURRENCY") or 1),
        spool=taken.get("ZEROIDLE_SPOOL", ""),
        scratch=scratch,
        parent_fd=_number(taken, "ZEROIDLE_PARENT_FD"),
        taken=taken,
        name=taken.get("ZEROIDLE_NAME", ""),
        declared=_object(taken, "ZEROIDLE_SETTINGS"),
    )


def _number(taken: Dict[str, str], name: str) -> Optional[int]:
    text = taken.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError('%s is "%s"; it must be a whole number.' % (name, text)) from None


def _object(taken: Dict[str, str], name: str) -> Dict[str, Any]:
    try:
        found = json.loads(taken.get(name) or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SettingsError('%s is "%s"; it must be a JSON object.' % (name, taken[name]))
    return found
