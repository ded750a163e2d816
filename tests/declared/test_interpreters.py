"""Declared endpoints in every interpreter from Python 3.9 on that is here, with nothing installed."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from tests.worker.plane import plane
from tests.worker.test_interpreters import VERSIONS, interpreter
from zeroidle.job import Status

APP = """
import dataclasses, datetime, decimal, enum, pathlib, typing, uuid
from typing import Annotated, Dict, List, Optional, Tuple, Union

from zeroidle import Audio, File, Limits, endpoint


class Mood(enum.Enum):
    CALM = "calm"


@dataclasses.dataclass
class Voice:
    name: str
    pitch: float = 1.0
    moods: List[Mood] = dataclasses.field(default_factory=list)


class Clip(typing.TypedDict, total=False):
    at: datetime.datetime


class Point(typing.NamedTuple):
    x: int
    y: int = 0


@endpoint
def types(
    voice: Voice, clip: Clip, point: Point, day: datetime.date, clock: datetime.time, id: uuid.UUID,
    price: decimal.Decimal, place: pathlib.Path, data: bytes, few: Annotated[int, Limits(ge=1)] = 3,
    maybe: Optional[int] = None, pair: Tuple[int, str] = (1, "a"), either: Union[int, str] = 1,
    table: Optional[Dict[str, List[int]]] = None,
) -> dict:
    return dict(
        voice=voice, clip=clip, point=point, day=day, clock=clock, id=id, price=price, place=place, data=data,
        few=few, maybe=maybe, pair=pair, either=either, table=table,
    )


@endpoint(batch=(2, "10ms"))
def batch(n: list[int]) -> list[int]:
    return [one + 1 for one in n]


@endpoint
async def echo(clip: Audio) -> File:
    return File(clip.bytes(), clip.media_type, "echo.wav")


@endpoint
async def stream(n: int):
    for i in range(n):
        yield {"i": Mood.CALM}
"""

TYPES = {
    "voice": {"name": "x", "pitch": 2.0, "moods": ["calm"]}, "clip": {"at": "2026-01-31T12:00:00+00:00"},
    "point": {"x": 1, "y": 2}, "day": "2026-01-31", "clock": "12:00:00", "id": "b1a7c9a0-0000-4000-8000-000000000000",
    "price": "1.50", "place": "a/b", "data": "AAEC", "few": 1, "maybe": 2, "pair": [2, "b"], "either": "x",
    "table": {"k": [1, 2]},
}  # fmt: skip
WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_and_form_in(tmp_path: Path, version: str) -> None:
    python = interpreter(version)

    async def one(name: str, given: dict[str, Any]) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        async with plane(folder, APP, python=python, declared=name) as p:
            await p.ready()
            job = await p.run(given)
            assert job.status is Status.COMPLETED, job.error
            return p.value(job.output)

    async def main() -> None:
        assert await one("types", TYPES) == TYPES
        assert await one("batch", {"n": 1}) == 2
        echoed = await one("echo", {"clip": WAV})
        assert echoed["url"].endswith(WAV) and echoed["name"] == "echo.wav"
        assert await one("stream", {"n": 2}) == [{"i": "calm"}] * 2

    asyncio.run(main())
