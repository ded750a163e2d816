"""A worker notes on the volume that it uses its weights, so that nobody evicts them under it."""

from __future__ import annotations

import json
import os
import threading
import uuid
from typing import List

#: The folders of the notes: a JSON list, given by the plane.
USES_ENV = "ZEROIDLE_WEIGHTS_USES"

#: How often another host sees that this worker lives, in seconds.
_BEAT_S = 5.0
_BEAT_BYTES = 512


def hold() -> List[str]:
    """Notes the use of every tree of this worker, from now until the process ends. Returns the notes' paths; empty
    when there is nothing to note, or the volume cannot be written. Call it after a fork, once per process."""
    try:
        folders = json.loads(os.environ.get(USES_ENV) or "[]")
    except ValueError:
        return []
    name = uuid.uuid4().hex[:16]
    owner = {"id": name, "host": _host(), "pid": os.getpid(), "start": _start()}
    notes = []
    for folder in folders:
        note = os.path.join(folder, name + ".use")
        try:
            os.makedirs(folder, exist_ok=True)
            with open(note, "w") as file:
                json.dump(owner, file)
            _beat(note, 0)
        except OSError:
            continue  # a read-only mount: nobody evicts there
        notes.append(note)
    if notes:
        threading.Thread(target=_run, args=(notes,), name="weights-beat", daemon=True).start()
    return notes


def _run(notes: List[str]) -> None:
    wait = threading.Event()
    seq = 0
    while not wait.wait(_BEAT_S):
        seq += 1
        for note in notes:
            try:
                _beat(note, seq)
                os.utime(os.path.join(os.path.dirname(note), "last"))
            except OSError:
                pass  # a missed beat; the next one may succeed


def _beat(note: str, seq: int) -> None:
    data = json.dumps({"seq": seq}).encode().ljust(_BEAT_BYTES)
    fd = os.open(os.path.splitext(note)[0] + ".beat", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)  # a network file system sends it out here


def _host() -> str:
    """The processes that see each other's ids: the boot, and the process namespace. As the plane writes it."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return "%s/%s" % (boot, os.readlink("/proc/self/ns/pid"))
    except OSError:
        return "unknown-%x" % uuid.getnode()


def _start() -> str:
    """When this process began, in the kernel's unit."""
    try:
        with open("/proc/self/stat") as file:
            stat = file.read()
        return stat[stat.rindex(")") + 2 :].split()[19]
    except (OSError, ValueError, IndexError):
        return "unknown"
