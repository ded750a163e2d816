"""From targets, zeroidle.toml, .env and flags to endpoints."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from zeroidle.endpoint import Endpoint, Scaler
from zeroidle.errors import ConfigError
from zeroidle.project import Flags, load
from zeroidle.project.settings import BY_NAME, SETTINGS
from zeroidle.project.targets import recipes


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def flags(every: dict[str, str] | None = None, env: tuple[str, ...] = (), sets: tuple[str, ...] = ()) -> Flags:
    return Flags.parse(every or {}, env, sets, {"PASSED": "on"})


def fails(folder: Path, *targets: str, given: Flags | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(targets, given, folder, environ or {})
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_bare_handler_file_gets_every_default(tmp_path: Path) -> None:
    write(tmp_path, {"handler.py": ""})
    endpoint = load(["handler.py"], None, tmp_path, {})["handler"]
    assert (endpoint.handler, endpoint.root) == (tmp_path / "handler.py", tmp_path)
    assert Path(endpoint.python).exists()
    blank = Endpoint("handler", endpoint.handler, endpoint.root, endpoint.python)
    assert endpoint == blank


def test_the_written_defaults_are_the_ones_of_the_endpoint(tmp_path: Path) -> None:
    defaults = {f.name: f.default for f in dataclasses.fields(Endpoint)}
    for setting in SETTINGS:
        if setting.default and setting.name != "scaler":
            assert setting.read(setting.default, tmp_path) == {name: defaults[name] for name in setting.fields}
    assert BY_NAME["scaler"].read("default", tmp_path) == {"scaler": Scaler()}


def test_every_field_of_an_endpoint_can_be_set() -> None:
    settable = {name for setting in SETTINGS for name in setting.fields} | {"name", "env"}
    told = {"declared", "input_schema", "output_schema", "doc", "form", "sources"}  # the handler file says these
    assert settable | told == {f.name for f in dataclasses.fields(Endpoint)}
    assert not settable & told


def test_every_setting_by_toml(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "src/app.py": "",
            "zeroidle.toml": f"""
[endpoint.speak]
handler = "src/app.py"
root = "."
python = "{sys.executable}"
sdk = "real"
workers = [1, 4]
idle = "60s"
scaler = "queue_delay:2s"
timeout = "5m"
ttl = 3600
concurrency = 2
retries = 0
lease = "10s"
start_timeout = "1m"
retention = "24h"
retention_sync = "2m"
retention_batch = "3d"
max_body = "1MB"
max_body_sync = "2MB"
rate_limits = "runpod"
fork_server = "2m"
batch = [8, "50ms"]
openai = "audio.speech"
files = "url"
file_limit = "100MB"
file_timeout = "30s"
private_urls = true
secrets = ["HF_TOKEN"]
gpu = "24GB"
pip = ["numpy", "scipy"]
apt = ["ffmpeg"]
weights = "hf:org/repo@main"
volume = "models"
image = "python:3.12-slim"
env = {{ MODE = "turbo", N = 3, DEBUG = true, HF_TOKEN = "t" }}
""",
        },
    )
    assert load([], None, tmp_path, {}) == {
        "speak": Endpoint(
            "speak",
            tmp_path / "src/app.py",
            tmp_path,
            sys.executable,
            "real",
            1,
            4,
            60.0,
            Scaler("queue_delay", 2.0),
            300.0,
            3600.0,
            2,
            0,
            10.0,
            60.0,
            120.0,
            86400.0,
            120.0,
            259200.0,
            1 << 20,
            2 << 20,
            {"MODE": "turbo", "N": "3", "DEBUG": "true", "HF_TOKEN": "t"},
            "runpod",
            batch=(8, 0.05),
            openai="audio.speech",
            files="url",
            file_limit_bytes=100 << 20,
            file_timeout_s=30.0,
            private_urls=True,
            secrets=("HF_TOKEN",),
            gpu=("24GB",),
            pip=("numpy", "scipy"),
            apt=("ffmpeg",),
            weights=("hf:org/repo@main",),
            volume="models",
            image="python:3.12-slim",
        )
    }


def test_flag_wins_over_toml_and_set_over_flag(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.py": "",
            "b.py": "",
            "zeroidle.toml": """
[endpoint.a]
handler = "a.py"
idle = "10s"
env = { X = "toml", Y = "toml" }
[endpoint.b]
handler = "b.py"
""",
        },
    )
    got = load([], flags({"idle": "20s"}, ("X=flag", "PASSED"), ("b.idle=30s", "b.env.X=set")), tmp_path, {})
    assert (got["a"].idle_s, got["b"].idle_s) == (20.0, 30.0)
    assert got["a"].env == {"X": "flag", "Y": "toml", "PASSED": "on"}
    assert got["b"].env == {"X": "set", "PASSED": "on"}


def test_names(tmp_path: Path) -> None:
    write(tmp_path, {"My_App_v2.py": "", "services/tts/handler.py": "", "other/rp_handler.py": ""})
    assert list(load(["My_App_v2.py"], None, tmp_path, {})) == ["my-app-v2"]
    assert list(load(["services/tts", "asr=other"], None, tmp_path, {})) == ["tts", "asr"]
    assert "lowercase" in fails(tmp_path, "Bad=My_App_v2.py")
    assert "names no target" in fails(tmp_path, "x=")
    write(tmp_path, {"services/asr/handler.py": "", "a/handler.py": ""})
    message = fails(tmp_path, "a/handler.py", "services/asr/handler.py")
    assert "both be the endpoint handler" in message and "OTHER=services/asr/handler.py" in message


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    write(tmp_path, {"run=3/handler.py": ""})
    assert list(load(["./run=3/handler.py"], None, tmp_path, {})) == ["handler"]


def test_a_folder_with_a_project_file_and_the_current_one_on_top(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "svc/zeroidle.toml": '[endpoint.a]\nhandler = "h.py"\nidle = "1s"\nttl = "1h"\n',
            "svc/h.py": "",
            "zeroidle.toml": '[endpoint.a]\nidle = "2s"\n',
        },
    )
    endpoint = load(["svc"], None, tmp_path, {})["a"]
    assert (endpoint.handler, endpoint.idle_s, endpoint.ttl_s) == (tmp_path / "svc/h.py", 2.0, 3600.0)
    assert load(["b=svc"], None, tmp_path, {})["b"].idle_s == 1.0


def test_one_endpoint_of_the_project_file(tmp_path: Path) -> None:
    write(tmp_path, {"h.py": "", "zeroidle.toml": '[endpoint.a]\nhandler = "h.py"\n[endpoint.b]\nhandler = "h.py"\n'})
    assert list(load(["b"], None, tmp_path, {})) == ["b"]
    assert list(load([], None, tmp_path, {})) == ["a", "b"]


def test_a_target_takes_the_settings_of_its_name_and_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, {"h.py": "", "zeroidle.toml": '[endpoint.speak]\nidle = "9s"\n'})
    endpoint = load(["speak=h.py"], None, tmp_path, {})["speak"]
    assert (endpoint.handler.name, endpoint.idle_s) == ("h.py", 9.0)
    assert "has no handler" in fails(tmp_path)
    assert "zeroidle up speak=FILE.py" in fails(tmp_path, "speak")


def test_recipes_are_found_by_name(tmp_path: Path) -> None:
    if not recipes():
        pytest.skip("this build holds no recipe")
    name, folder = next(iter(recipes().items()))
    assert load([name], None, tmp_path, {})[name].handler == folder / "app.py"
    assert load([f"mine={name}"], None, tmp_path, {})["mine"].handler == folder / "app.py"
    write(tmp_path, {"zeroidle.toml": f'[endpoint.x]\nhandler = "{name}"\nidle = "77s"\n'})
    endpoint = load([], None, tmp_path, {})["x"]
    assert (endpoint.handler, endpoint.idle_s) == (folder / "app.py", 77.0)
    assert f"did you mean {name}" in fails(tmp_path, name[:-1])


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[endpoint.a]\nhandler = "h.py"\nidel = "5s"\n', ["line 3", "no setting idel", "did you mean idle?"]),
        ('[endpoint.a]\nhandler = "h.py"\nworker = 3\n', ["line 3", "did you mean workers?"]),
        ('[endpoint.a]\nhandler = "h.py"\nidle = "soon"\n', ["line 3", "[endpoint.a] idle", "'soon'", "500ms"]),
        ('[endpoint.a]\nhandler = "h.py"\n\n# note\nconcurrency = 0\n', ["line 5", "from 1 to 1000"]),
        ('[endpoints.a]\nhandler = "h.py"\n', ["line 1", "[endpoint.NAME]"]),
        ('[endpoint]\nhandler = "h.py"\n', ["line 2", "stands in a table"]),
        ('[endpoint.a]\nhandler = "x.py"\n', ["line 2", "neither a file nor a recipe"]),
        ("[endpoint.a]\nhandler = 3\n", ["line 2", "not a text"]),
        ('[endpoint.A_b]\nhandler = "h.py"\n', ["line 1", "lowercase letters"]),
        ('[endpoint.a]\nhandler = "h.py"\nhandler = "h.py"\n', ["not valid TOML", "line 3"]),
        ('[endpoint.a]\nhandler = "h.py"\nenv = "X=1"\n', ["line 3", "not a table"]),
        ('[endpoint.a]\nhandler = "h.py"\n[endpoint.a.env]\n"A-B" = "1"\n', ["line 4", "cannot be a variable"]),
        ('[endpoint.a]\nhandler = "h.py"\nenv.ZEROIDLE_X = "1"\n', ["line 3", "set by ZeroIdle itself"]),
        ('[endpoint.a]\nhandler = "h.py"\n[endpoint.a.env]\nT = "${NOPE}"\n', ["line 4", "variable NOPE"]),
        ('[endpoint.a]\nhandler = "h.py"\nenv_file = "no.env"\n', ["line 3", "not a file"]),
        ('[endpoint.a]\nhandler = "h.py"\npython = "venv/bin/python"\n', ["line 3", "does not exist"]),
        ("# nothing\n", ["declares no endpoint"]),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path: Path, toml: str, words: list[str]) -> None:
    write(tmp_path, {"h.py": "", "zeroidle.toml": toml})
    message = fails(tmp_path)
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"every": {"idle": "x"}}, ["--idle", "'x'", "500ms"]),
        ({"sets": ("b.idle=5s",)}, ["no endpoint b", "known are h"]),
        ({"sets": ("h.idel=5s",)}, ["--set h.idel", "did you mean idle?"]),
        ({"sets": ("h.handler=y.py",)}, ["h=y.py"]),
        ({"env": ("A-B=1",)}, ["cannot be a variable"]),
        ({"sets": ("h.env_file=none.env",)}, ["is not a file"]),
    ],
)
def test_a_mistake_in_a_flag_is_named(tmp_path: Path, given: dict[str, object], words: list[str]) -> None:
    write(tmp_path, {"h.py": ""})
    message = fails(tmp_path, "h.py", given=flags(**given))  # type: ignore[arg-type]
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(("env", "sets"), [(("NOPE",), ()), ((), ("idle=5s",)), ((), ("h.idle",))])
def test_flags_that_cannot_be_read(env: tuple[str, ...], sets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        Flags.parse({}, env, sets, {})


@pytest.mark.parametrize(("target", "words"), [("x.py", "no file or folder x.py"), ("nope", "neither a file")])
def test_a_target_that_is_nothing(tmp_path: Path, target: str, words: str) -> None:
    assert words in fails(tmp_path, target)


def test_no_target_and_no_file(tmp_path: Path) -> None:
    assert "zeroidle up handler.py" in fails(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "has nothing to serve" in fails(tmp_path, "empty")


def test_env_files_are_read_and_the_nearer_wins(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "zeroidle.toml": '[endpoint.a]\nhandler = "svc/h.py"\nenv = { C = "toml" }\n',
            "svc/h.py": "",
            ".env": "A=top\nB=top\nC=top\nZEROIDLE_DATA=x\n",
            "svc/.env": "B=near\n",
        },
    )
    assert load([], None, tmp_path, {})["a"].env == {"A": "top", "B": "near", "C": "toml"}
    assert load([], flags(sets=("a.env_file=false",)), tmp_path, {})["a"].env == {"C": "toml"}
    assert load([], flags(sets=("a.env_file=svc/.env",)), tmp_path, {})["a"].env == {"B": "near", "C": "toml"}


def test_values_of_the_environment_fill_the_file_and_never_show(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "h.py": "",
            "zeroidle.toml": """
[endpoint.a]
handler = "h.py"
env = { TOKEN = "${TOKEN}", PRICE = "$$5", REGION = "${REGION:-eu}-1" }
""",
        },
    )
    endpoint = load([], None, tmp_path, {"TOKEN": "s3cret"})["a"]
    assert endpoint.env == {"TOKEN": "s3cret", "PRICE": "$5", "REGION": "eu-1"}
    assert "s3cret" not in repr(endpoint)
    assert "s3cret" not in repr(flags(env=("TOKEN=s3cret",)))
