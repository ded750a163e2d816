"""Removes what a job left in the working directory."""

from __future__ import annotations

import os
from typing import List, Optional


def clean(folder_list: Optional[List[str]] = None) -> None:
    """Removes input_objects, output_objects, job_files, output.zip and the named folders, when they are there."""
    import shutil

    for folder in ("input_objects", "output_objects", "job_files", *(folder_list or ())):
        shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists("output.zip"):
        os.remove("output.zip")
