"""The page on the volume: its commands run, its variables are all there are, its folders exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.test_docs import DOCS, blocks
from zeroidle.volume.layout import make
from zeroidle.volume.options import VARIABLES

PAGE = DOCS / "volume.md"


def test_its_commands_do_what_it_says(tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for block in blocks(PAGE):
        for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:] if block.language == "console" else []:
            command, *expected = piece.rstrip("\n").split("\n")
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            for line in expected:
                assert line in done.stdout, f"{command} says {done.stdout!r}"
            ran += 1
    assert ran >= 6


def test_every_variable_and_folder_is_named(tmp_path: Path) -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"`(ZEROIDLE_VOLUME_\w+)`", text)) == set(VARIABLES)
    make(tmp_path / "v")
    for folder in (p.name for p in (tmp_path / "v").iterdir() if p.is_dir() and p.name != "tmp"):
        assert f"`{folder}/" in text, folder
