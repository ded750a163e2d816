"""The small pieces that correctness rests on, with inputs that nobody thought of."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.volume.conftest import MIB, noise, wait_for
from zeroidle.volume import digest as digest_module
from zeroidle.volume.beat import Beater, Watch
from zeroidle.volume.digest import Damage, Digest
from zeroidle.volume.layout import make
from zeroidle.volume.lease import Holder, Lease, acquire
from zeroidle.volume.owner import Owner, owner_of
from zeroidle.volume.part import Part, copy_part, journal_of
from zeroidle.volume.ranges import Ranges
from zeroidle.volume.retry import Backoff, TransferError, retry_after_s

spans = st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 60)), max_size=30)


@given(spans)
def test_ranges_are_sets_of_bytes(operations: list[tuple[bool, int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for add, start, end in operations:
        if add:
            ranges.add(start, end)
            model |= set(range(start, end))
        elif start < end:
            ranges.remove(start, end)
            model -= set(range(start, end))
    assert ranges.total == len(model)
    assert {b for low, high in ranges for b in range(low, high)} == model
    assert {b for low, high in ranges.missing(70) for b in range(low, high)} == set(range(70)) - model
    for start in range(62):
        end = ranges.end_from(start)
        assert all(b in model for b in range(start, end)) and end not in model
    listed = list(ranges)
    assert listed == sorted(listed) and all(a[1] < b[0] for a, b in itertools.pairwise(listed))


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_a_digest_does_not_care_how_bytes_come(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    digest = Digest("md5:" + hashlib.md5(data).hexdigest(), len(data))
    for piece in pieces:
        digest.update(memoryview(piece))
    assert digest.sha256 == hashlib.sha256(data).hexdigest() and digest.fault(digest.sha256) is None
    git = Digest("git-sha1:" + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), len(data))
    git.update(memoryview(data))
    assert git.fault(None) is None


@given(st.binary(min_size=200, max_size=600), st.integers(0, 10**6))
def test_a_changed_byte_is_found_in_its_stretch(data: bytes, seed: int) -> None:
    size = digest_module.MARK_BYTES
    digest_module.MARK_BYTES = 64
    try:
        first = Digest()
        first.update(memoryview(data))
        at = seed % (len(data) // 64 * 64)
        wrong = bytearray(data)
        wrong[at] ^= 1
        second = Digest(expected=first.marks)
        with pytest.raises(Damage) as found:
            second.update(memoryview(wrong))
        assert found.value.start <= at < found.value.end == found.value.start + 64
        assert second.at == found.value.start
        second.update(memoryview(data)[second.at :])  # with the right bytes it goes on
        assert second.sha256 == hashlib.sha256(data).hexdigest()
    finally:
        digest_module.MARK_BYTES = size


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=20)), max_size=12), st.integers(0, 400))
def test_a_journal_cut_short_tells_of_no_byte_that_is_not_there(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bytes]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("part") / "x.part"
    part = Part(path)
    for at, data in writes:
        part.write(at, memoryview(data))
    part.close()
    journal = journal_of(path)
    raw = journal.read_bytes() if journal.exists() else b""
    journal.write_bytes(raw[:cut])
    again = Part(path)
    expected = set[int]()
    for at, data in writes:
        expected |= set(range(at, at + len(data)))
    there = {b for low, high in again.done for b in range(low, high)}
    assert there <= expected
    if cut >= len(raw):
        assert there == expected
    again.close()


def test_after_another_boot_only_marked_bytes_are_trusted(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    part = Part(path)
    part.write(0, memoryview(noise(17 * MIB)))
    part.mark([b"m" * 16])
    part.close()
    raw = journal_of(path).read_bytes()
    from zeroidle.volume.part import _line

    boot = raw.split(b"\n")[0]
    journal_of(path).write_bytes(raw.replace(boot, _line("B another-boot").strip()))
    assert list(Part(path).done) == [(0, 16 * MIB)]


def test_a_part_is_copied_while_it_is_written(tmp_path: Path) -> None:
    source, target = tmp_path / "a.part", tmp_path / "b.part"
    part, data, stop = Part(source), noise(4 * MIB), threading.Event()

    def write() -> None:
        at = 0
        while at < len(data) and not stop.is_set():
            part.write(at, memoryview(data)[at : at + 4096])
            at += 4096

    writer = threading.Thread(target=write)
    writer.start()
    wait_for(lambda: part.done.total > MIB)
    copy_part(source, target)
    stop.set()
    writer.join()
    copied = Part(target)
    assert copied.done.total > MIB - 1
    raw = target.read_bytes()
    assert all(raw[low:high] == data[low:high] for low, high in copied.done)


def test_one_of_many_threads_gets_a_lease(tmp_path: Path) -> None:
    layout, _ = make(tmp_path / "v")
    got: list[Lease] = []
    gate = threading.Barrier(16)

    def run() -> None:
        gate.wait()
        found = acquire(layout, "k", owner_of(), beater, Watch(), 5.0, dict)
        if isinstance(found, Lease):
            got.append(found)

    beater = Beater(0.5)
    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0].release()
    assert isinstance(acquire(layout, "k", owner_of(), beater, Watch(), 5.0, dict), Lease)
    beater.close()


def test_a_lease_of_a_dead_process_is_free_at_once_and_one_of_another_host_when_it_is_silent(tmp_path: Path) -> None:
    layout, _ = make(tmp_path / "v")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        owner = owner_of(process.pid)
        beater, silent = Beater(0.05), Beater(3600)
        assert isinstance(acquire(layout, "k", owner, silent, Watch(), 0.2, dict), Lease)
        found = acquire(layout, "k", owner_of(), beater, Watch(), 0.2, dict)
        assert isinstance(found, Holder) and found.owner == owner
        process.kill()
    mine = acquire(layout, "k", owner_of(), beater, Watch(), 60.0, dict)
    assert isinstance(mine, Lease) and mine.fence == 2
    far = Owner("f" * 16, "another-host", 1, "1")
    alive, dead = Beater(0.05), Beater(3600)
    for key, heart in (("alive", alive), ("dead", dead)):
        assert isinstance(acquire(layout, key, far, heart, Watch(), 0.2, dict), Lease)
    watch = Watch()
    wait_for(lambda: isinstance(acquire(layout, "dead", owner_of(), beater, watch, 0.3, dict), Lease))
    for _ in range(20):
        assert isinstance(acquire(layout, "alive", owner_of(), beater, watch, 0.3, dict), Holder)
        threading.Event().wait(0.03)
    for heart in (beater, silent, alive, dead):
        heart.close()


def test_waits_grow_are_spread_and_end() -> None:
    backoff = Backoff(first_s=1.0, longest_s=8.0, most=6)
    waits = [backoff.next_s(TransferError("x")) for _ in range(6)]
    assert waits[5] is None
    for wait, ceiling in zip(waits[:5], (1, 2, 4, 8, 8), strict=True):
        assert wait is not None and ceiling / 4 <= wait <= ceiling
    backoff.progress()
    assert (backoff.next_s(TransferError("x", wait_s=30.0)) or 0) >= 30
    assert backoff.next_s(TransferError("x", retryable=False)) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), (" 0 ", 0), ("99999", 600), (None, None), ("", None), ("soon", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds


def test_a_process_id_that_was_given_out_again_is_another_process() -> None:
    me = owner_of()
    assert me.alive() is True
    assert Owner(me.id, me.host, me.pid, "1").alive() is False
    assert Owner(me.id, "elsewhere", me.pid, me.start).alive() is None
    assert Owner(me.id, me.host, 2**22 + 1, "1").alive() is False


def test_the_worker_writes_its_use_as_the_plane_reads_it(tmp_path: Path) -> None:
    program = "from zeroidle_worker.weights import hold; import time; print(*hold(), flush=True); time.sleep(60)"
    env = os.environ | {"ZEROIDLE_WEIGHTS_USES": f'["{tmp_path / "use"}"]'}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=env) as worker:
        assert worker.stdout is not None
        note = Path(worker.stdout.readline().strip())
        import msgspec

        owner = msgspec.json.decode(note.read_bytes(), type=Owner)
        assert owner.pid == worker.pid and owner.alive() is True and owner.host == owner_of().host
        worker.kill()
        worker.wait()
        assert owner.alive() is False
