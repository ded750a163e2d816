"""Several endpoints of one project: shared modules, one zeroidle.toml, an interpreter and image needs for each."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from pathlib import Path

from tests.cli.up import Up

Start = Callable[..., Up]

TOML = """
[endpoint.assess]
handler = "services/assess/handler.py"
root = "."
python = "envs/assess/bin/python"
apt = ["ffmpeg"]
gpu = "24GB"
idle = "60s"

[endpoint.ipa]
handler = "services/ipa/app.py"
root = "."
python = "envs/ipa/bin/python"
pip = ["phonemizer"]
workers = [0, 1]
idle = "60s"
"""
SHARED = "import engine\n\ndef shout(text):\n    return text.upper() + '!' + engine.NAME\n"
ASSESS = """
import os, sys, runpod
from common.text import shout
import rules
def handler(job):
    return {'said': shout(job['input']['text']), 'own': rules.LIMIT, 'prefix': sys.prefix, 'cwd': os.getcwd()}
runpod.serverless.start({'handler': handler})
"""
IPA = """
import sys
from zeroidle import endpoint
from common.text import shout
@endpoint
def ipa(text: str) -> dict:
    return {'said': shout(text), 'prefix': sys.prefix}
"""


def test_endpoints_share_modules_and_have_an_interpreter_each(start: Start, tmp_path: Path) -> None:
    for name in ("assess", "ipa"):
        venv.create(tmp_path / "envs" / name)
        packages = tmp_path / "envs" / name / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        (packages / "engine.py").write_text(f"NAME = 'of-{name}'\n")  # what only this environment has
    files = {
        "zeroidle.toml": TOML, "common/text.py": SHARED, "services/assess/handler.py": ASSESS,
        "services/assess/rules.py": "LIMIT = 3\n", "services/ipa/app.py": IPA,
    }  # fmt: skip
    up = start(files=files)
    assert [e["name"] for e in up.told["endpoints"]] == ["assess", "ipa"]
    assessed = up.data_of("run", "assess", "text=a")["output"]
    assert assessed == {
        "said": "A!of-assess", "own": 3, "prefix": str(tmp_path / "envs" / "assess"), "cwd": str(tmp_path),
    }  # fmt: skip
    assert up.data_of("run", "ipa", "text=b")["output"] == {
        "said": "B!of-ipa",
        "prefix": str(tmp_path / "envs" / "ipa"),
    }
    assert "input.text is missing" in up.call("run", "ipa").stderr  # the declared one is typed
    up.end()
