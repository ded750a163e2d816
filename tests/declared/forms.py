"""A file that declares an endpoint of every form; each adds one to `n`, and streams say so twice."""

FORMS = '''
import asyncio
import os
import time

from zeroidle import endpoint


def before(n, fail, lose):
    """Raises while the file `fail` is not there; kills the worker once, after it made the file `lose`."""
    if lose and not os.path.exists(lose):
        open(lose, "w").close()
        os.kill(os.getpid(), 9)
    if fail and not os.path.exists(fail):
        raise ValueError("cannot do %d" % n)


def work(n, seconds, fail, lose):
    before(n, fail, lose)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)
    return n + 1


async def work_async(n, seconds, fail, lose):
    before(n, fail, lose)
    await asyncio.sleep(seconds)
    return n + 1


@endpoint
def function(n: int, seconds: float = 0, fail: str = "", lose: str = "") -> int:
    return work(n, seconds, fail, lose)


@endpoint
async def function_async(n: int, seconds: float = 0, fail: str = "", lose: str = "") -> int:
    return await work_async(n, seconds, fail, lose)


@endpoint
def stream(n: int, seconds: float = 0, fail: str = "", lose: str = ""):
    for _ in range(2):
        yield work(n, seconds, fail, lose)


@endpoint
async def stream_async(n: int, seconds: float = 0, fail: str = "", lose: str = ""):
    for _ in range(2):
        yield await work_async(n, seconds, fail, lose)


@endpoint(concurrency=2)
def threads(n: int, seconds: float = 0, fail: str = "", lose: str = "") -> int:
    return work(n, seconds, fail, lose)


@endpoint(concurrency=2)
def stream_threads(n: int, seconds: float = 0, fail: str = "", lose: str = ""):
    for _ in range(2):
        yield work(n, seconds, fail, lose)


class SetUp:
    def setup(self):
        self.one = 1


@endpoint(name="class")
class Class(SetUp):
    def __call__(self, n: int, seconds: float = 0, fail: str = "", lose: str = "") -> int:
        return work(n, seconds, fail, lose) - 1 + self.one


@endpoint
class ClassAsync:
    async def setup(self):
        await asyncio.sleep(0)
        self.one = 1

    async def __call__(self, n: int, seconds: float = 0, fail: str = "", lose: str = "") -> int:
        return await work_async(n, seconds, fail, lose) - 1 + self.one


@endpoint
class ClassStream(SetUp):
    def __call__(self, n: int, seconds: float = 0, fail: str = "", lose: str = ""):
        for _ in range(2):
            yield work(n, seconds, fail, lose) - 1 + self.one


@endpoint
class ClassStreamAsync(SetUp):
    async def __call__(self, n: int, seconds: float = 0, fail: str = "", lose: str = ""):
        for _ in range(2):
            yield await work_async(n, seconds, fail, lose) - 1 + self.one


@endpoint(batch=(4, "20ms"))
def batch(
    n: list[int], seconds: list[float] = 0, fail: list[str] = "", lose: list[str] = ""
) -> list[int]:
    return [work(*one) for one in zip(n, seconds, fail, lose)]


@endpoint(batch=(4, "20ms"))
async def batch_async(
    n: list[int], seconds: list[float] = 0, fail: list[str] = "", lose: list[str] = ""
) -> list[int]:
    return list(await asyncio.gather(*(work_async(*one) for one in zip(n, seconds, fail, lose))))


@endpoint(batch=(4, "20ms"))
class ClassBatch(SetUp):
    def __call__(
        self, n: list[int], seconds: list[float] = 0, fail: list[str] = "", lose: list[str] = ""
    ) -> list[int]:
        return [work(*one) - 1 + self.one for one in zip(n, seconds, fail, lose)]
'''

#: Every endpoint of the file, and whether it streams.
NAMES = {
    "function": False, "function-async": False, "stream": True, "stream-async": True, "threads": False,
    "stream-threads": True, "class": False, "class-async": False, "class-stream": True, "class-stream-async": True,
    "batch": False, "batch-async": False, "class-batch": False,
}  # fmt: skip


def result(name: str, n: int) -> object:
    """What a job of this endpoint gives."""
    return [n + 1, n + 1] if NAMES[name] else n + 1
