"""Finds the plane that a command speaks to: by --url, or by the file that a running plane leaves in its folder."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.cli.folder import DATA_NAME, PLANE_FILE
from zeroidle.cli.http import Client, Unreachable
from zeroidle.errors import Error

KEY_VARIABLES = ("ZEROIDLE_API_KEY", "RUNPOD_API_KEY")


@dataclass(frozen=True, slots=True)
class Found:
    """Where a plane answers. `pid` is None when it was named by its URL."""

    url: str
    key: str | None = field(repr=False)
    pid: int | None = None
    data: Path | None = None


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options by which every asking command finds its plane."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--data", metavar="DIR", help=f"data folder of the plane (default: {DATA_NAME} here or in a folder above)"
    )
    place.add_argument(
        "--url",
        help="a plane elsewhere; the API key is taken from the variable ZEROIDLE_API_KEY or RUNPOD_API_KEY",
    )


def key_from_environment() -> str | None:
    """The API key that the user has set for servers elsewhere."""
    return next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)


def find(data: str | None, url: str | None = None) -> Found:
    """The plane that is meant. Raises Error when none runs."""
    url = url or (os.environ.get("ZEROIDLE_URL") if data is None else None)
    if url:
        return Found(url, key_from_environment())
    folder = data_folder(data)
    path = folder / PLANE_FILE
    try:
        content = json.loads(path.read_text())
        found = Found(content["url"], content["admin_token"], int(content["pid"]), folder)
    except FileNotFoundError:
        raise Error(
            f"No plane runs with the data folder {folder}; start one with zeroidle up, or name its folder: --data DIR"
        ) from None
    except PermissionError:
        raise Error(f"{path} may not be read; only the user who runs the plane may.") from None
    except (ValueError, KeyError, TypeError):
        raise Error(f"{path} is damaged; start the plane again: zeroidle up") from None
    if not alive(found.pid):
        raise Error(f"The plane of {folder} is not running any more; its jobs are kept. Start it again: zeroidle up")
    return found


def data_folder(data: str | None) -> Path:
    """The data folder: the one named, or the nearest one from here upwards that holds a running plane's file."""
    named = data or os.environ.get("ZEROIDLE_DATA")
    if named:
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / DATA_NAME / PLANE_FILE).is_file():
            return folder / DATA_NAME
    return here / DATA_NAME


def alive(pid: int | None) -> bool:
    """Whether a process of that number is there."""
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Admin(Client):
    """The admin API of a plane."""

    def __init__(self, found: Found) -> None:
        super().__init__(f"{found.url.rstrip('/').removesuffix('/v2')}/admin", found.key)
        self.found = found

    def _exchange(self, method: str, target: str, data: bytes | None) -> tuple[int, bytes]:
        try:
            return super()._exchange(method, target, data)
        except Unreachable as exc:
            raise Unreachable(f"The plane at {self.found.url} does not answer: {exc.message}") from exc


def admin(args: argparse.Namespace) -> Admin:
    """The admin API of the plane that the arguments of `add_place` mean."""
    return Admin(find(args.data, args.url))
