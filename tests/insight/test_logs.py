"""Stretches of a log that is being written."""

from __future__ import annotations

from pathlib import Path

from zeroidle.insight import logs


def test_a_line_that_is_not_ended_yet_waits(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.write_text("one\ntwo\nthr")
    first = logs.read_from(path, 0)
    assert (first.text, first.next, first.size_bytes) == ("one\ntwo\n", 8, 11)
    assert logs.read_from(path, 8).text == ""
    with path.open("a") as file:
        file.write("ee\n")
    assert logs.read_from(path, 8).text == "three\n"
    assert logs.read_from(path, 4, 11, whole_lines=False).text == "two\nthr"


def test_a_line_longer_than_one_answer_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    text = "ä" * logs.MAX_BYTES
    path.write_text(text)
    got, at = "", 0
    for _ in range(3):
        stretch = logs.read_from(path, at, whole_lines=False)
        got, at = got + stretch.text, stretch.next
    assert at == 2 * logs.MAX_BYTES and got == text


def test_the_tail_and_a_hole_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    with path.open("wb") as file:
        file.truncate(8192)
        file.seek(8192)
        file.write(b"a\nb\n\xff\n")
    assert logs.read_tail(path, 2).text == "b\n\ufffd\n"
    assert logs.read_tail(path, 100).text == "a\nb\n\ufffd\n"
    assert logs.read_tail(path, 1, end=8196).text == "b\n"
    assert logs.read_tail(path, 0).text == ""


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    for path in (None, tmp_path / "none.log"):
        assert logs.read_from(path, 5) == logs.Stretch("", 5, 0)
        assert logs.read_tail(path, 5).text == "" and logs.size_bytes(path) == 0
