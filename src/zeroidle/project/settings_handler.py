"""The settings of what a declared handler takes and gives, and of what it needs around it."""

from __future__ import annotations

from zeroidle.project import values
from zeroidle.project.setting import DAY_S, Setting

HANDLER: tuple[Setting, ...] = (
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
