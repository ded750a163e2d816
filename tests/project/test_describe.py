"""Endpoints that a file declares by itself: names, layers, errors, and when the file is read again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zeroidle.endpoint import Scaler
from zeroidle.errors import ConfigError
from zeroidle.project import Flags, load
from zeroidle.project.settings import KEYS
from zeroidle_worker.api.declare import KEYS as DECORATOR_KEYS

APP = '''
from zeroidle import endpoint, File
from words import greeting

@endpoint(idle="60s", workers=(1, 2), scaler="queue_delay:2s", env={"MODE": "slow"}, gpu="24GB", pip=["numpy"])
def say_hello(name: str, times: int = 1) -> str:
    """Says hello."""
    return greeting * times + name

@endpoint(name="other", batch=(8, "50ms"), secrets=["HF_TOKEN"])
def whatever(text: list[str]) -> list[str]:
    return text
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "words.py").write_text("greeting = 'hello '\n")
    return tmp_path


ENVIRON = {"HF_TOKEN": "hf_x"}


def test_every_declared_endpoint_is_served_under_its_own_name(folder: Path) -> None:
    found = load(["app.py"], None, folder, ENVIRON)
    assert list(found) == ["say-hello", "other"]
    hello, other = found.values()
    assert (hello.declared, hello.form, hello.doc) == ("say-hello", "function", "Says hello.")
    assert (hello.idle_s, hello.min_workers, hello.max_workers) == (60.0, 1, 2)
    assert hello.scaler == Scaler("queue_delay", 2.0)
    assert (hello.env, hello.gpu, hello.pip) == ({"MODE": "slow"}, ("24GB",), ("numpy",))
    assert hello.input_schema is not None and hello.input_schema["required"] == ["name"]
    assert hello.output_schema == {"type": "string"}
    assert {path.name for path in hello.sources} >= {"app.py", "words.py"}
    assert (other.batch, other.form, other.secrets) == ((8, 0.05), "batch", ("HF_TOKEN",))
    assert other.env == {"HF_TOKEN": "hf_x"}


def test_toml_wins_over_the_decorator_and_a_flag_over_both(folder: Path) -> None:
    (folder / "zeroidle.toml").write_text('[endpoint.say-hello]\nidle = "2m"\nenv = { MODE = "fast" }\nworkers = 5\n')
    flags = Flags.parse({"timeout": "9s"}, [], ["say-hello.workers=0:7"], {})
    hello = load(["app.py"], flags, folder, ENVIRON)["say-hello"]
    assert (hello.idle_s, hello.timeout_s, hello.env, hello.max_workers) == (120.0, 9.0, {"MODE": "fast"}, 7)
    assert hello.scaler == Scaler("queue_delay", 2.0)


@pytest.mark.parametrize(
    ("toml", "given", "expected"),
    [
        ("", [], (8, 0.05)),
        ("batch = 4", [], (4, 0.01)),
        ('batch = [4, "1s"]', ["other.batch=2:5ms"], (2, 0.005)),
        ("", ["other.batch=16"], (16, 0.01)),
        ("batch = 0", [], None),
    ],
)
def test_a_batch_from_outside_wins_and_counts_as_concurrency(
    folder: Path, toml: str, given: list[str], expected: tuple[int, float] | None
) -> None:
    (folder / "zeroidle.toml").write_text(f"[endpoint.other]\n{toml}\n")
    other = load(["app.py"], Flags.parse({}, [], given, {}), folder, ENVIRON)["other"]
    assert other.batch == expected and other.form == "batch"
    assert other.concurrency == (2 * expected[0] if expected else 1)
    assert other.input_schema is not None and other.input_schema["properties"]["text"] == {"type": "string"}


def test_a_handler_of_lists_is_batched_by_the_file_alone(folder: Path) -> None:
    (folder / "lists.py").write_text(
        "from zeroidle import endpoint\n@endpoint\ndef lists(n: list[int]) -> list[str]:\n    return n\n"
        "@endpoint\ndef pieces(n: list[int]):\n    yield n\n"
    )
    flags = Flags.parse({}, [], ["lists.batch=4"], {})
    lists = load(["lists.py"], flags, folder, {})["lists"]
    assert (lists.form, lists.output_schema) == ("batch", {"type": "string"})
    assert lists.input_schema is not None and lists.input_schema["properties"]["n"] == {"type": "integer"}
    with pytest.raises(ConfigError, match=r"pieces cannot have a batch.* this one is a stream handler"):
        load(["lists.py"], Flags.parse({}, [], ["pieces.batch=4"], {}), folder, {})


def test_the_decorator_takes_what_the_file_takes(folder: Path) -> None:
    where_it_runs = {"handler", "root", "python", "sdk", "env_file"}
    assert set(DECORATOR_KEYS) - {"name"} == set(KEYS) - where_it_runs
    (folder / "all.py").write_text(
        "from zeroidle import endpoint\n@endpoint(files='url', file_limit='1MB', file_timeout='3s', private_urls=True, "
        "start_timeout='9s', retention='2h', openai='audio.speech', image='python:3.12', apt=['ffmpeg'], "
        "rate_limits='runpod')\n"
        "def all_of_it(n: int) -> int:\n    return n\n"
    )
    found = load(["all.py"], None, folder, {})["all-of-it"]
    assert (found.files, found.file_limit_bytes, found.file_timeout_s, found.private_urls) == (
        "url",
        1 << 20,
        3.0,
        True,
    )
    assert (found.start_timeout_s, found.retention_s, found.rate_limits) == (9.0, 7200.0, "runpod")
    assert (found.openai, found.image, found.apt) == ("audio.speech", "python:3.12", ("ffmpeg",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@endpoint(wokers=2)", "@endpoint does not know 'wokers'; did you mean workers?"),
        ("@endpoint(file_limt='1MB')", "@endpoint does not know 'file_limt'; did you mean file_limit?"),
        ("@endpoint(private_urls='maybe')", "private_urls = 'maybe' is neither true nor false."),
    ],
)
def test_a_mistake_in_the_decorator_is_named(folder: Path, text: str, words: str) -> None:
    (folder / "bad.py").write_text(f"from zeroidle import endpoint\n{text}\ndef bad() -> int:\n    return 1\n")
    with pytest.raises(ConfigError) as caught:
        load(["bad.py"], None, folder, {})
    assert words in caught.value.message


def test_a_mistake_in_the_table_of_a_declared_endpoint_names_the_nearest_key(folder: Path) -> None:
    (folder / "zeroidle.toml").write_text("[endpoint.other]\nprivat_urls = true\n")
    with pytest.raises(ConfigError, match=r"privat_urls.*private_urls"):
        load(["app.py"], None, folder, ENVIRON)


def test_a_missing_secret_is_one_clear_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"The endpoint other needs HF_TOKEN \(secrets\); set it in the environment"):
        load(["app.py"], None, folder, {})


def test_one_of_several_is_chosen(folder: Path) -> None:
    assert [(e.name, e.declared) for e in load(["app.py:other"], None, folder, ENVIRON).values()] == [
        ("other", "other")
    ]
    assert load(["x=app.py:say-hello"], None, folder, {})["x"].declared == "say-hello"
    assert load(["say-hello=app.py"], None, folder, {})["say-hello"].declared == "say-hello"
    (folder / "zeroidle.toml").write_text('[endpoint.mine]\nhandler = "app.py:say-hello"\n')
    mine = load([], None, folder, {})["mine"]
    assert (mine.declared, mine.handler) == ("say-hello", folder / "app.py")


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["x=app.py"], "declares say-hello, other, and none of them is x; choose one: x=app.py:NAME"),
        (["app.py:nothing"], "none of them is nothing"),
        (["app.py"], "The endpoint other needs HF_TOKEN"),
        (["app.py:say-hello", "app.py:say-hello"], "would both be the endpoint say-hello"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(folder: Path, targets: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(targets, None, folder, {})
    assert words in caught.value.message


def test_a_file_that_cannot_be_imported_says_why_and_where(folder: Path) -> None:
    (folder / "words.py").write_text("import surely_nowhere\n")
    with pytest.raises(ConfigError) as caught:
        load(["app.py"], None, folder, ENVIRON)
    first, *rest = caught.value.message.splitlines()
    assert "app.py cannot be imported by" in first and "No module named 'surely_nowhere'" in first
    assert any("words.py" in line for line in rest) and "-m pip install surely_nowhere" in rest[-1]


def test_a_wrong_setting_names_the_decorator(folder: Path) -> None:
    (folder / "app.py").write_text(APP.replace('idle="60s"', 'idle="soon"'))
    with pytest.raises(ConfigError, match=r"app\.py: @endpoint of say-hello: idle = 'soon' is not a duration"):
        load(["app.py"], None, folder, ENVIRON)
    (folder / "app.py").write_text(APP.replace("idle=", "idel="))
    with pytest.raises(ConfigError, match="did you mean idle"):
        load(["app.py"], None, folder, ENVIRON)


def test_a_file_that_prints_or_ends_is_no_riddle(folder: Path) -> None:
    (folder / "words.py").write_text("import os; print('so long'); os._exit(3)\n")
    with pytest.raises(ConfigError, match=r"ended \(exit 3\)"):
        load(["app.py"], None, folder, ENVIRON)


def test_a_plain_handler_is_not_run(folder: Path) -> None:
    (folder / "handler.py").write_text("# not for zeroidle alone\nraise SystemExit('it was run')\n")
    assert load(["handler.py"], None, folder, {})["handler"].declared is None


def test_the_answer_is_kept_until_a_file_changes(folder: Path, tmp_path: Path) -> None:
    marks = folder / "marks"
    (folder / "words.py").write_text(f"open({str(marks)!r}, 'a').write('x')\ngreeting = 'hello '\n")
    cache = tmp_path / "cache"

    def read(**env: str) -> int:
        load(["app.py"], Flags.parse({}, [f"{k}={v}" for k, v in env.items()], [], {}), folder, ENVIRON, cache)
        return len(marks.read_text())

    assert [read(), read(), read(MODE="x"), read()] == [1, 1, 2, 2]
    (folder / "words.py").write_text((folder / "words.py").read_text() + "# changed\n")
    assert [read(), read()] == [3, 3]
    assert load(["app.py"], None, folder, ENVIRON, cache) == load(["app.py"], None, folder, ENVIRON)
    for path in cache.iterdir():
        path.write_text("{damaged")
    assert read() == 5  # the comparison above read it once without the cache


def test_the_interpreter_of_the_tables_is_used_before_the_names_are_known(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "mypython"
    link.parent.mkdir()
    link.write_text(f'#!/bin/sh\nMADE_BY=link exec {sys.executable} "$@"\n')
    link.chmod(0o755)
    (folder / "words.py").write_text("import os\ngreeting = os.environ['MADE_BY']\n")
    (folder / "zeroidle.toml").write_text(f'[endpoint.say-hello]\npython = "{link}"\n')
    found = load(["app.py"], None, folder, ENVIRON)
    assert found["say-hello"].python == str(link)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from zeroidle import endpoint\n@endpoint\ndef x(a) -> int return a\n", "def x(a) -> int return a"),
        ("from zeroidle import endpoint\nraise RuntimeError('no weights')\n", 'app.py", line 2, in <module>'),
    ],
)
def test_a_file_that_fails_shows_its_own_lines_and_no_others(folder: Path, text: str, shown: str) -> None:
    (folder / "app.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(["app.py"], None, folder, ENVIRON)
    said = str(caught.value)
    assert shown in said and "frozen importlib" not in said and "zeroidle_worker" not in said
