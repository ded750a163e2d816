"""Names of and in a plane's data folder."""

from __future__ import annotations

DATA_NAME = ".zeroidle"
PLANE_FILE = "plane.json"
