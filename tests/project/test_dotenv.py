"""The .env parser, against its description and against python-dotenv where both speak."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle.errors import ConfigError
from zeroidle.project import dotenv

TEXT = """\
# a comment

A=1
export B = two words   # a note
C='single $A ${A} \\n'
D="line\\nbreak \\"quoted\\" ${A}"
E=
F=a#b
G="first
second"
H=${A}/x
I=${NOWHERE:-other}
J=${NOWHERE}
K=${HOME_DIR}
A=2
L='it' # note
"""


def test_every_form() -> None:
    found = dotenv.parse(TEXT, {"HOME_DIR": "/home/x"})
    assert found == {
        "A": "2",
        "B": "two words",
        "C": "single $A ${A} \\n",
        "D": 'line\nbreak "quoted" 1',
        "E": "",
        "F": "a#b",
        "G": "first\nsecond",
        "H": "1/x",
        "I": "other",
        "J": "",
        "K": "/home/x",
        "L": "it",
    }


def test_the_same_as_python_dotenv(tmp_path: Path) -> None:
    peer = pytest.importorskip("dotenv")
    path = tmp_path / ".env"
    path.write_text(TEXT.replace("C='single $A ${A} \\n'\n", "").replace("A=2\n", "").replace("HOME_DIR", "A"))
    assert dotenv.read(path, {}) == peer.dotenv_values(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\nnot an assignment\n", 2), ("1A=x", 1), ('A=1\nB="open\nC=3\n', 2), ("A='x' y", 1), ("=x", 1), ("A B=1", 1)],
)
def test_a_bad_line_is_named_without_its_value(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        dotenv.parse(text.replace("x", "s3cret"), {}, "p/.env")
    assert f"p/.env line {line}" in caught.value.message
    assert "s3cret" not in caught.value.message


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\x00")),
    )
)
def test_any_value_survives_double_quotes(variables: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")

    text = "".join(f'{name}="{quoted(value)}"\n' for name, value in variables.items())
    assert dotenv.parse(text, {}) == variables


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        dotenv.parse(text, {})
    except ConfigError as exc:
        assert "line" in exc.message


def test_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\nB='x'\r\n")
    assert dotenv.read(path, {}) == {"A": "1", "B": "x"}
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        dotenv.read(path, {})
