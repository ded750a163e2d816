"""The light `runpod` module beside the real one: the same names, answers, files and messages."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from runpod.serverless.utils import rp_validator as real_validator

from zeroidle_worker import current, runpod_shim
from zeroidle_worker import sdk_names as names
from zeroidle_worker.current import Running
from zeroidle_worker.runpod_shim.runpod.serverless.modules import rp_logger, rp_progress
from zeroidle_worker.runpod_shim.runpod.serverless.utils import (
    rp_cleanup,
    rp_cuda,
    rp_debugger,
    rp_download,
    rp_model_cache,
    rp_ssrf,
    rp_upload,
    rp_validator,
)

# -- the validator

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip
RULES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from([int, float, str, bool, list])},
        optional={
            "required": st.booleans(),
            "default": VALUES,
            "constraints": st.sampled_from([bool, lambda value: value == 1, lambda value: value is None]),
        },
    ),
    st.just('{"type": 1, "required": false, "default": 2}'),
    st.just("not json"),
)
KEYS = st.sampled_from(["a", "b", "c"])


def outcome(validate: Any, raw: dict[str, Any], schema: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    schema = dict(schema)
    try:
        return validate(dict(raw), schema), schema
    except Exception as exc:
        return type(exc), {}


@settings(max_examples=600, deadline=None)
@given(raw=st.dictionaries(KEYS, VALUES, max_size=3), schema=st.dictionaries(KEYS, RULES, max_size=3))
def test_the_validator_answers_what_the_real_one_answers(raw: dict[str, Any], schema: dict[str, Any]) -> None:
    assert outcome(rp_validator.validate, raw, schema) == outcome(real_validator.validate, raw, schema)


def test_the_validator_makes_floats_and_fills_defaults() -> None:
    schema = {"x": {"type": float, "required": True}, "y": {"type": int, "required": False, "default": 3}}
    assert rp_validator.validate({"x": 1}, schema) == {"validated_input": {"x": 1.0, "y": 3}}


# -- names


def test_what_the_light_module_lacks_is_what_the_real_one_has() -> None:
    """A name of the list that the real package does not have would be a mistake of the list."""
    import importlib

    for module, own in names._REAL.items():
        real = importlib.import_module(module)
        for name in own:
            try:
                importlib.import_module(f"{module}.{name}")
            except ModuleNotFoundError:
                assert hasattr(real, name), f"{module}.{name}"


def test_every_public_name_of_the_real_package_is_there_or_known_to_be_missing() -> None:
    code = (
        "import json, runpod, runpod.serverless, runpod.serverless.utils as u\n"
        "print(json.dumps([['runpod', runpod.__all__], ['runpod.serverless', runpod.serverless.__all__],"
        " ['runpod.serverless.utils', u.__all__]]))"
    )
    real = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    check = (
        "import sys, json\nsys.path.insert(0, sys.argv[1])\nimport importlib\n"
        "for module, own in json.loads(sys.argv[2]):\n"
        "    light = importlib.import_module(module)\n"
        "    assert 'runpod_shim' in light.__file__\n"
        "    for name in own: print(module + '.' + name, hasattr(light, name))\n"
    )
    folder = str(Path(runpod_shim.__file__).parent)
    lines = subprocess.run(
        [sys.executable, "-c", check, folder, json.dumps(real)], check=True, capture_output=True, text=True
    )
    answers = dict(line.rsplit(" ", 1) for line in lines.stdout.splitlines())
    assert answers["runpod.RunPodLogger"] == answers["runpod.serverless.start"] == "True"
    assert [name for name, there in answers.items() if there == "False" and not names.known(name)] == []


def test_the_version_is_that_of_the_sdk_it_follows() -> None:
    import runpod

    from zeroidle_worker.runpod_shim.runpod.version import __version__

    assert __version__ == runpod.__version__


# -- the logger


def test_the_logger_filters_by_level_and_names_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    log = rp_logger.RunPodLogger()
    assert log is rp_logger.RunPodLogger()
    log.set_level("WARN")
    try:
        log.info("hidden")
        log.error("seen", request_id="j1")
        log.tip("advice")
        log.error("x" * 5000)
        log.secret("key", "hidden by its level")
    finally:
        log.set_level("DEBUG")
    log.secret("key", "abcd")
    lines = capsys.readouterr().out
    assert "hidden" not in lines and "ERROR  | j1 | seen\n" in lines and "TIP    | advice\n" in lines
    assert "TRUNCATED 904 CHARACTERS" in lines and "INFO   | key: a**d\n" in lines
    with pytest.raises(ValueError, match="Invalid debug level: LOUD"):
        log.set_level("LOUD")


def test_a_line_without_a_job_gets_the_one_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    token = current.enter(Running("j7", 1))
    try:
        rp_logger.RunPodLogger().info("text")
    finally:
        current.leave(token)
    assert capsys.readouterr().out == "INFO   | j7 | text\n"


# -- downloads

PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/a.bin": (200, {}, b"a" * 3000),
    "/named": (200, {"Content-Disposition": 'attachment; filename="voice.wav"'}, b"RIFF"),
    "/moved": (302, {"Location": "/a.bin"}, b""),
    "/loop": (302, {"Location": "/loop"}, b""),
    "/gone.png": (404, {}, b"no"),
}


class Pages(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        status, headers, body = PAGES[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A server on loopback, which is allowed here; the working directory is empty."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    monkeypatch.chdir(tmp_path)
    Pages.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_downloads_keep_their_order_and_extensions(site: str, tmp_path: Path) -> None:
    paths = rp_download.download_files_from_urls("job1", [f"{site}/a.bin", f"{site}/named", f"{site}/moved?x=1"[:-4]])
    assert [p and os.path.splitext(p)[1] for p in paths] == [".bin", ".wav", ""]
    assert all(p and Path(p).parent == tmp_path / "jobs" / "job1" / "downloaded_files" for p in paths)
    assert [Path(p or "").read_bytes() for p in paths] == [b"a" * 3000, b"RIFF", b"a" * 3000]
    assert rp_download.download_files_from_urls("job1", f"{site}/a.bin")[0]


def test_a_download_that_fails_three_times_is_none(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rp_download.download_files_from_urls("job1", [f"{site}/gone.png"]) == [None]
    assert Pages.asked == ["/gone.png"] * 3
    assert f"Failed to download {site}/gone.png: 404" in capsys.readouterr().out


def test_one_file_says_what_it_was(site: str) -> None:
    found = rp_download.file(f"{site}/named")
    assert (found["type"], found["original_name"], found["extracted_path"]) == ("wav", "voice.wav", None)
    assert Path(found["file_path"]).read_bytes() == b"RIFF"
    from requests.exceptions import RequestException

    with pytest.raises(RequestException, match="404"):
        rp_download.file(f"{site}/gone.png")


def test_a_zip_file_is_unpacked(site: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("inner/text.txt", "hello")
    PAGES["/pack.zip"] = (200, {}, data.getvalue())
    found = rp_download.file(f"{site}/pack.zip")
    assert (Path(found["extracted_path"]) / "inner" / "text.txt").read_text() == "hello"


def test_refused_downloads_fail_loudly(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rp_ssrf.SSRFError, match="maximum redirects"):
        rp_download.download_files_from_urls("j", f"{site}/loop")
    with pytest.raises(rp_ssrf.SSRFError, match="blocked URL scheme 'file'"):
        rp_download.file("file:///etc/passwd")
    monkeypatch.setenv("RUNPOD_MAX_DOWNLOAD_BYTES", "2999")
    with pytest.raises(rp_ssrf.SSRFError, match="exceeds size cap: 3000 > 2999"):
        rp_download.file(f"{site}/a.bin")
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")
    Pages.asked.clear()
    with pytest.raises(rp_ssrf.SSRFError, match=r"resolves to non-public address 127\.0\.0\.1"):
        rp_download.file(f"{site}/a.bin")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(rp_ssrf.SSRFError, match="refusing to fetch"):
        rp_download.file("http://example.com/a.bin")
    assert Pages.asked == []


def test_addresses_are_judged_as_the_real_package_judges_them() -> None:
    from runpod.serverless.utils.rp_ssrf import is_safe_address

    addresses = [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "8.8.8.8",
        "224.0.0.1", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "2001:4860:4860::8888", "x",
    ]  # fmt: skip
    assert {a: rp_ssrf.is_safe_address(a) for a in addresses} == {a: is_safe_address(a) for a in addresses}


# -- uploads


@pytest.fixture
def no_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pic.png").write_bytes(b"PNG")


@pytest.mark.usefixtures("no_bucket")
def test_without_a_bucket_files_stay_in_a_folder() -> None:
    assert rp_upload.upload_file_to_bucket("a.png", "pic.png") == "local_upload/a.png"
    assert rp_upload.upload_in_memory_object("b.txt", b"text") == "local_upload/b.txt"
    path = rp_upload.upload_image("job1", "pic.png")
    assert path.startswith("simulated_uploaded/") and path.endswith(".png")
    assert [Path(p).read_bytes() for p in ("local_upload/a.png", "local_upload/b.txt", path)] == [
        b"PNG",
        b"text",
        b"PNG",
    ]
    assert len({*rp_upload.files("job1", ["pic.png", "pic.png"])}) == 2


@contextlib.contextmanager
def s3() -> Iterator[tuple[str, Any]]:
    boto3 = pytest.importorskip("boto3") if not os.environ.get("CI") else __import__("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    client.create_bucket(Bucket="pictures")
    try:
        yield url, client
    finally:
        server.stop()


@pytest.mark.usefixtures("no_bucket")
def test_files_go_to_the_bucket_and_come_back_by_their_links() -> None:
    import urllib.request

    with s3() as (url, client):
        creds = {"endpointUrl": url, "accessId": "k", "accessSecret": "s", "bucketName": "pictures"}
        links = [
            rp_upload.upload_file_to_bucket("a.png", "pic.png", creds, "pictures", "deep"),
            rp_upload.upload_in_memory_object("b.txt", b"PNG", creds, "pictures"),
        ]
        os.environ.update(BUCKET_ENDPOINT_URL=url, BUCKET_ACCESS_KEY_ID="k", BUCKET_SECRET_ACCESS_KEY="s")
        try:
            links.append(rp_upload.upload_image("job1", "pic.png", bucket_name="pictures"))
        finally:
            for name in ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY"):
                os.environ.pop(name)
        for link in links:
            with urllib.request.urlopen(link) as answer:
                assert answer.read() == b"PNG"
        assert rp_upload.bucket_upload("job2", ["pic.png"], creds) == [f"{url}/pictures/job2/pic.png"]
        keys = [item["Key"] for item in client.list_objects_v2(Bucket="pictures")["Contents"]]
        assert {"deep/a.png", "b.txt", "job2/pic.png"} < set(keys) and any(k.startswith("job1/") for k in keys)


def test_regions_are_read_from_urls_as_the_real_package_reads_them() -> None:
    from runpod.serverless.utils.rp_upload import extract_region_from_url

    for url in (
        "https://bucket.s3.eu-west-1.amazonaws.com", "https://s3.us-west-004.backblazeb2.com", "http://localhost:9000",
        "https://nyc3.digitaloceanspaces.com", "https://bucket.nyc3.digitaloceanspaces.com",
    ):  # fmt: skip
        assert rp_upload.extract_region_from_url(url) == extract_region_from_url(url)


# -- the rest


def test_cleaning_removes_what_it_is_known_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("input_objects", "output_objects", "job_files", "mine", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / "output.zip").touch()
    rp_cleanup.clean(["mine", "not there"])
    assert os.listdir(tmp_path) == ["kept"]


def test_cuda_is_there_when_its_program_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rp_cuda.is_available() is False
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA-SMI 600\n")
    program.chmod(0o755)
    assert rp_cuda.is_available() is True
    program.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    assert rp_cuda.is_available() is False


def test_checkpoints_are_timed_and_cleared() -> None:
    @rp_debugger.FunctionTimer
    def work() -> int:
        return 3

    rp_debugger.clear_debugger_output()
    with rp_debugger.LineTimer("line"):
        assert work() == 3
    with pytest.raises(KeyError, match="already exists"):
        work()
    found = rp_debugger.get_debugger_output()
    assert [c["name"] for c in found["timestamps"]] == ["line", "work"]
    assert all(c["duration_ms"] >= 0 and c["start_utc"] <= c["stop_utc"] for c in found["timestamps"])
    assert set(found["system_info"]) == {"os", "processor", "python_version", "runpod"}
    assert rp_debugger.get_debugger_output()["timestamps"] == []
    with pytest.raises(KeyError, match="does not exist"):
        rp_debugger.Checkpoints().stop("line")


def test_the_place_of_a_cached_model() -> None:
    resolve = rp_model_cache.resolve_model_cache_path_from_hugginface_repository
    assert resolve("org/model:rev") == "/runpod/cache/org/model/rev"
    assert resolve("org/model") == "/runpod/cache/org/model/main"
    assert resolve(":rev") is None


def test_progress_of_a_job_that_does_not_run_goes_nowhere() -> None:
    told: list[Any] = []
    worker = current.worker
    before, worker.progress = worker.progress, lambda running, value: told.append((running.id, value))
    worker.jobs["j1"] = Running("j1", 1)
    try:
        rp_progress.progress_update({"id": "j1"}, 1)
        rp_progress.progress_update({"id": "j2"}, 2)
    finally:
        worker.jobs.clear()
        worker.progress = before
    assert told == [("j1", 1)]
