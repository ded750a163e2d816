"""The table of settings: the one place from which TOML keys, command-line flags and their reference page come."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from zeroidle.project import values
from zeroidle.project.values import Parser

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an endpoint.

    `fields` are the fields of `Endpoint` that it fills (two for a pair). `default` is the default as a user would
    write it. `flag` says whether `zeroidle up` has it as an option (`option`); `--set NAME.key=value` takes every
    setting.
    """

    name: str
    fields: tuple[str, ...]
    parse: Parser
    form: str
    default: str
    doc: str
    example: str
    flag: bool = False

    @property
    def option(self) -> str:
        """How it is written on the command line, if `flag` says that it is."""
        return "--" + self.name.replace("_", "-")

    def read(self, value: object, folder: Path) -> dict[str, object]:
        """The endpoint's fields that this value sets. Raises ValueError with the end of a sentence."""
        result = self.parse(value, folder)
        if len(self.fields) == 1:
            return {self.fields[0]: result}
        assert isinstance(result, tuple)
        return dict(zip(self.fields, result, strict=True))


def default_python() -> str:
    """The interpreter of the active virtual environment, or else the one that runs ZeroIdle."""
    active = os.environ.get("VIRTUAL_ENV")
    if active:
        python = Path(active) / "bin" / "python"
        if python.is_file():
            return str(python)
    return sys.executable


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "handler",
        ("handler",),
        values.text,
        "path or name",
        "",
        "The Python file to serve, or a recipe's name. Relative to the file that holds the setting. Left out when the "
        "target on the command line names it.",
        '"app.py"',
    ),
    Setting(
        "root",
        ("root",),
        values.folder_path,
        "path",
        "",
        "The folder in which the workers run, so that the handler finds files it opens by a relative path. Default: "
        "the handler's own folder.",
        '"."',
    ),
    Setting(
        "python",
        ("python",),
        values.interpreter,
        "path or command",
        "",
        "The interpreter that the handler needs: a path, the folder of a virtual environment, or a command on PATH. "
        "Default: the active virtual environment, or else the interpreter that runs ZeroIdle.",
        '".venv/bin/python"',
        flag=True,
    ),
    Setting(
        "sdk",
        ("sdk",),
        values.choice("auto", "shim", "real"),
        "auto, shim or real",
        "auto",
        "Which `runpod` module an unmodified handler sees: our light one (`shim`), the installed package (`real`), or "
        "the light one unless the handler needs more (`auto`).",
        '"real"',
        flag=True,
    ),
    Setting(
        "workers",
        ("min_workers", "max_workers"),
        values.workers,
        "[min, max], 0 to 1000",
        "0:3",
        "How many workers may live. A minimum above 0 keeps workers warm; a maximum of 0 pauses the endpoint: jobs are "
        "accepted and wait. A single number is the maximum.",
        "[0, 3]",
        flag=True,
    ),
    Setting(
        "idle",
        ("idle_s",),
        values.duration(0, DAY_S),
        f"duration, 0s to {values.show_seconds(DAY_S)}",
        "5s",
        "How long a worker without a job stays before it is stopped.",
        '"60s"',
        flag=True,
    ),
    Setting(
        "scaler",
        ("scaler",),
        values.scaler,
        "default, queue_delay:TIME or request_count:N",
        "default",
        "The rule for the number of workers. `default` starts the first worker at once and then one for each waiting "
        "job that no worker covers; the two others are RunPod's rules: add a worker when a job has waited longer than "
        "TIME (4s), or one worker for every N (4) jobs queued or running.",
        '"queue_delay:4s"',
        flag=True,
    ),
    Setting(
        "timeout",
        ("timeout_s",),
        values.duration(0.1, 7 * DAY_S),
        "duration, 100ms to 7d",
        "10m",
        "How long a job may run before it ends as TIMED_OUT and its worker is stopped. A job's "
        "`policy.executionTimeout` wins.",
        '"5m"',
        flag=True,
    ),
    Setting(
        "ttl",
        ("ttl_s",),
        values.duration(1, 7 * DAY_S),
        "duration, 1s to 7d",
        "24h",
        "How long a job may live from its submission, waiting and running. A job's `policy.ttl` wins.",
        '"24h"',
        flag=True,
    ),
    Setting(
        "concurrency",
        ("concurrency",),
        values.count(1, 1000),
        "1 to 1000",
        "1",
        "How many jobs one worker runs at a time. A handler's own `concurrency_modifier` wins.",
        "1",
        flag=True,
    ),
    Setting(
        "retries",
        ("retries",),
        values.count(0, 100),
        "0 to 100",
        "2",
        "How often a job is tried again after its worker was lost, before it is set aside as FAILED.",
        "2",
    ),
    Setting(
        "lease",
        ("lease_s",),
        values.duration(1, 3600),
        "duration, 1s to 1h",
        "30s",
        "How long a worker may be silent before its jobs are given to another one.",
        '"30s"',
    ),
    Setting(
        "start_timeout",
        ("start_timeout_s",),
        values.duration(1, DAY_S),
        "duration, 1s to 24h",
        "7m",
        "How long a worker may take from its start until it is ready, before it counts as failed.",
        '"7m"',
    ),
    Setting(
        "retention",
        ("retention_s",),
        values.duration(1, 3650 * DAY_S),
        "duration, 1s to 3650d",
        "30m",
        "How long the result of a job sent by `/run` is kept after its end.",
        '"24h"',
    ),
    Setting(
        "retention_sync",
        ("retention_sync_s",),
        values.duration(1, 3650 * DAY_S),
        "duration, 1s to 3650d",
        "60s",
        "How long the result of a job sent by `/runsync` is kept after its end. A caller that asks with a longer "
        "`wait` (at most 5 minutes) has as long as that.",
        '"60s"',
    ),
    Setting(
        "retention_batch",
        ("retention_batch_s",),
        values.duration(1, 3650 * DAY_S),
        "duration, 1s to 3650d",
        "7d",
        "How long the result of a job of a batch is kept after its end.",
        '"30d"',
    ),
    Setting(
        "max_body",
        ("max_body_bytes",),
        values.size(1024, 5 << 30),
        "size, 1KB to 5GB",
        "10MB",
        "The largest body that `/run` takes. Larger ones are answered with 413.",
        '"10MB"',
    ),
    Setting(
        "max_body_sync",
        ("max_body_sync_bytes",),
        values.size(1024, 5 << 30),
        "size, 1KB to 5GB",
        "20MB",
        "The largest body that `/runsync` takes.",
        '"20MB"',
    ),
    Setting(
        "rate_limits",
        ("rate_limits",),
        values.choice("none", "runpod"),
        "none or runpod",
        "none",
        "Whether clients are held to rate limits. `runpod` refuses with 429 and `Retry-After` what is over RunPod's "
        "documented figures, as 1000 `/run` in ten seconds and 200 at once, so that a client can be tested against "
        "them. On a machine of one's own nothing is gained by refusing oneself.",
        '"runpod"',
        flag=True,
    ),
    Setting(
        "fork_server",
        ("fork_server_idle_s",),
        values.duration(0, 7 * DAY_S),
        "duration, 0s to 7d",
        "10m",
        "How long a process that has the handler's imports done is kept after the last worker was forked from it, so "
        "that the next worker starts at once. `0s` keeps none.",
        '"10m"',
    ),
    Setting(
        "batch",
        ("batch",),
        values.batch,
        "N or [N, TIME]",
        "",
        "For a handler declared with `@endpoint` that takes lists: the most requests that are handed over at once, and "
        "how long to collect them (10ms). `0` hands requests over one by one; a handler whose decorator says `batch` "
        "then gets lists of one.",
        '[8, "50ms"]',
    ),
    Setting(
        "files",
        ("files",),
        values.choice("auto", "inline", "url"),
        "auto, inline or url",
        "auto",
        "How a `File` in a result travels: inside the answer as a data URL (`inline`), as a file that the plane serves "
        "(`url`), or by its size (`auto`: above 1 MB as a file).",
        '"url"',
    ),
    Setting(
        "file_limit",
        ("file_limit_bytes",),
        values.size(1, 1 << 50),
        "size, 1 byte and up",
        "512MB",
        "The largest file that a worker downloads when an input names a `File`, `Audio` or `Image` by its URL.",
        '"100MB"',
    ),
    Setting(
        "file_timeout",
        ("file_timeout_s",),
        values.duration(0.1, DAY_S),
        "duration, 100ms to 24h",
        "2m",
        "How long such a download may take as a whole.",
        '"30s"',
    ),
    Setting(
        "private_urls",
        ("private_urls",),
        values.yes_no,
        "true or false",
        "false",
        "Whether such a URL may lead to an address inside a private network, as `127.0.0.1` or `10.0.0.5`. Say `true` "
        "only when you trust everybody who may send jobs: they can then read what this machine can reach.",
        "true",
    ),
    Setting(
        "openai",
        ("openai",),
        values.text,
        "text",
        "",
        "The route of OpenAI's API that the handler answers as well.",
        '"audio.speech"',
    ),
    Setting(
        "secrets",
        ("secrets",),
        values.names,
        "list of names",
        "",
        "Variables that the handler needs. They are taken from `env`, `.env` or the environment of `zeroidle up`; one "
        "that is missing is an error at the start, not in the first job.",
        '["HF_TOKEN"]',
    ),
    Setting(
        "weights",
        ("weights",),
        values.texts,
        "source or list of sources",
        "",
        "Model files that are fetched and checked before a worker starts: hf:ORG/REPO@REVISION, "
        "https://HOST/FILE#sha256=HEX, s3://BUCKET/PREFIX, zenodo:RECORD or file:/PATH.",
        '"hf:org/repo@revision"',
    ),
    Setting(
        "volume",
        ("volume",),
        values.text,
        "path or name",
        "",
        "Where the weights are kept.",
        '"models"',
    ),
    Setting(
        "gpu",
        ("gpu",),
        values.texts,
        "text or list of texts",
        "",
        "The GPU that the handler needs, by its memory or its name; for places where machines are rented.",
        '"24GB"',
    ),
    Setting(
        "pip",
        ("pip",),
        values.texts,
        "list of requirements",
        "",
        "Python packages of the image that is built for the handler.",
        '["numpy>=2"]',
    ),
    Setting(
        "apt",
        ("apt",),
        values.texts,
        "list of packages",
        "",
        "System packages of the image that is built for the handler.",
        '["ffmpeg"]',
    ),
    Setting(
        "image",
        ("image",),
        values.image,
        "name or table",
        "",
        "The image that the handler's own image is built from, or a table that describes it.",
        '"python:3.12-slim"',
    ),
)

#: Settings that are tables and files rather than single values; `load` treats them itself.
ENV_DOC = (
    "Environment variables of the workers. `${NAME}` takes a value from the environment in which `zeroidle up` runs, "
    "`${NAME:-other}` gives a substitute, `$$` is a dollar sign."
)
ENV_FILE_DOC = (
    "A file of NAME=value lines that is read into the workers' environment; `env` wins over it. Default: `.env` "
    "beside `zeroidle.toml` and beside the handler, when there is one. `false` reads none."
)

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

#: Every key that a table [endpoint.NAME] may have.
KEYS: tuple[str, ...] = (*BY_NAME, "env", "env_file")
