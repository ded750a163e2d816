"""The memory of a process and of what it started."""

from __future__ import annotations

import os
import subprocess
import sys

from zeroidle.insight import memory

HOLDER = """
import subprocess, sys
held = bytearray(50 << 20)
held[::4096] = b"x" * len(held[::4096])
print("held", flush=True)
sys.stdin.read()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_what_a_grandchild_holds_is_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        found, own = memory.read(child.pid), memory.read(os.getpid())
        assert found is not None and own is not None
        assert found.private_bytes >= 50 << 20 and found.pss_bytes >= found.private_bytes
        assert own.pss_bytes > found.pss_bytes  # this process has it below itself
        child.stdin.close()
    assert memory.read(child.pid) is None
