"""Which weights a shell command downloads, and which commands of a line do nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from zeroidle.plan.migrate_parse import expand
from zeroidle.plan.migrate_python import downloads

WEIGHT_ENDINGS = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".onnx", ".h5", ".pb", ".tflite", ".npz",
    ".nemo", ".msgpack", ".model", ".engine", ".plan",
)  # fmt: skip
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_HUB_FILE = re.compile(r"https?://(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/(?:resolve|raw|blob)/([^/]+)/([^?#]+)")
_HUB_REPO = re.compile(r"https?://(?:[^@/]*@)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
_ZENODO = re.compile(r"https?://zenodo\.org/(?:api/)?records?/(\d+)/files/([^/?#]+)")
_MODELS_IN_NAME = re.compile(r"model|weight|checkpoint|ckpt|llm|whisper|tts", re.IGNORECASE)
_PYTHON = re.compile(r"(?:\S*/)?python(?:3(?:\.\d+)?)?")

Reader = Callable[[str], str | None]


@dataclass(slots=True)
class Command:
    """One command of a line. `sources` are the weights it fetches, `note` says what could not be read; `joint` is the
    operator before it. `target` is where it puts them."""

    text: str
    joint: str = ""
    sources: list[str] = field(default_factory=list)
    target: str | None = None
    note: str | None = None

    @property
    def bakes(self) -> bool:
        """Whether it puts weights into the image."""
        return bool(self.sources or self.note)


def commands(line: str, variables: Mapping[str, str], read: Reader, heredocs: list[str] | None = None) -> list[Command]:
    """The commands of a RUN line. `read` gives the text of a file of the build context, or None."""
    found = []
    for joint, text in _split(line):
        command = Command(text, joint)
        _look(command, dict(variables), read, heredocs or [])
        found.append(command)
    return found


def _split(line: str) -> list[tuple[str, str]]:
    """The commands with the operator before each; quotes are respected."""
    parts: list[tuple[str, str]] = []
    joint, text, quote, at = "", "", "", 0
    while at < len(line):
        char = line[at]
        if quote:
            if char == "\\" and quote == '"' and at + 1 < len(line):
                text += char
                at += 1
                char = line[at]
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif line[at : at + 2] in ("&&", "||") or char in ";\n":
            if text.strip():
                parts.append((joint, text.strip()))
            joint = line[at : at + 2] if line[at : at + 2] in ("&&", "||") else ";"
            text = ""
            at += len(joint) if joint != ";" else 1
            continue
        text += char
        at += 1
    if text.strip():
        parts.append((joint, text.strip()))
    return parts


def _look(command: Command, variables: dict[str, str], read: Reader, heredocs: list[str]) -> None:
    try:
        words = [expand(word, variables) for word in shlex.split(command.text)]
    except ValueError:
        return
    while words and re.fullmatch(r"\w+=.*", words[0]):  # VAR=value before the command
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    while words and (words[0] in ("sudo", "exec", "time", "env") or words[0].startswith("--mount")):
        words.pop(0)
    if not words:
        return
    program = words[0].rsplit("/", 1)[-1]
    if _PYTHON.fullmatch(words[0]):
        _python(command, words[1:], variables, read, heredocs)
    elif program in ("huggingface-cli", "hf") and words[1:2] == ["download"]:
        _hub_download(command, words[2:])
    elif program == "git" and "clone" in words:
        _clone(command, [w for w in words[words.index("clone") + 1 :] if not w.startswith("-")])
    elif program in ("wget", "curl", "aria2c"):
        _web(command, words[1:])
    elif program == "aws" and words[1:2] == ["s3"]:
        command.sources += [w.rstrip("/") for w in words if w.startswith("s3://")][:1]
        command.target = words[-1] if not words[-1].startswith("s3://") else None
    elif program == "mfa" and words[1:3] == ["model", "download"]:
        name = " ".join(words[3:5])
        command.note = f"MFA's {name}: name its release file, https://github.com/MontrealCorpusTools/mfa-models/..."
    elif program in ("bash", "sh") and len(words) > 1 and not words[1].startswith("-"):
        _script(command, words[1], variables, read)


def _script(command: Command, path: str, variables: dict[str, str], read: Reader) -> None:
    text = read(path)
    for line in (text or "").splitlines():
        if not line.lstrip().startswith("#"):
            for inner in commands(line.strip(), variables, read):
                command.sources += inner.sources
                command.note = command.note or inner.note


def _python(command: Command, words: list[str], variables: dict[str, str], read: Reader, heredocs: list[str]) -> None:
    code: str | None = None
    name, rest = "", words[1:]
    if words[:1] == ["-c"] and len(words) > 1:
        code, rest = words[1], words[2:]
    elif words[:1] == ["-m"]:
        return
    elif not words or words[0] in ("-", "<<") or words[0].startswith("<<"):
        code = heredocs[0] if heredocs else None
    else:
        name = next((w for w in words if not w.startswith("-")), "")
        code = read(name) if name else None
    if code is None:
        if name and _MODELS_IN_NAME.search(name.rsplit("/", 1)[-1]) and "requirements" not in name:
            command.note = f"{name} is not in the build context; name what it downloads by hand"
        return
    try:
        command.sources += [source for url in downloads(code, variables, rest) for source in [web_source(url, True)]
                            if source]  # fmt: skip
    except SyntaxError:
        command.note = f"{name or 'the program'} cannot be read as Python 3"
        return
    if not command.sources and "download" in name.lower() and _MODELS_IN_NAME.search(code):
        command.note = f"{name} seems to download models, but their names cannot be read from it"


def _hub_download(command: Command, words: list[str]) -> None:
    values = {"--revision": "", "--local-dir": "", "--cache-dir": "", "--repo-type": "", "--token": ""}
    lists: dict[str, list[str]] = {"--include": [], "--exclude": []}
    plain: list[str] = []
    key = ""
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in values or flag in lists:
            key = "" if equals else flag
            if equals:
                (values.__setitem__(flag, value) if flag in values else lists[flag].append(value))
        elif key in values:
            values[key], key = word, ""
        elif key in lists and not word.startswith("--"):
            lists[key].append(word)
        elif not word.startswith("-"):
            plain.append(word)
    if not plain or values["--repo-type"] in ("dataset", "space"):
        return
    allow, deny = plain[1:] or lists["--include"], lists["--exclude"]
    command.target = values["--local-dir"] or None
    at = f"@{values['--revision']}" if values["--revision"] else ""
    tail = "&".join(f"{k}={','.join(v)}" for k, v in (("allow", allow), ("deny", deny)) if v)
    command.sources.append(f"hf:{plain[0]}{at}" + (f"#{tail}" if tail else ""))


def _clone(command: Command, words: list[str]) -> None:
    found = _HUB_REPO.fullmatch(words[0]) if words else None
    if found is not None:
        command.sources.append(f"hf:{found[1]}")
        command.target = words[1] if len(words) > 1 else found[1].split("/")[1]


def _web(command: Command, words: list[str]) -> None:
    for index, word in enumerate(words):
        if word in ("-O", "-o", "--output", "--output-document", "-P", "--directory-prefix", "-d", "--dir"):
            command.target = words[index + 1] if index + 1 < len(words) else None
        elif word.startswith(("http://", "https://")):
            source = web_source(word, command.target is not None and command.target.endswith(WEIGHT_ENDINGS))
            if source is not None:
                command.sources.append(source)


def web_source(url: str, sure: bool = False) -> str | None:
    """The source string of an address of weights; None when it does not look like weights. `sure` takes any file."""
    if url.startswith(("hf:", "s3:", "zenodo:")):
        return url
    hub, zenodo = _HUB_FILE.match(url), _ZENODO.match(url)
    if hub is not None:
        return f"hf:{hub[1]}@{hub[2]}#allow={unquote(hub[3])}"
    if zenodo is not None:
        return f"zenodo:{zenodo[1]}#allow={unquote(zenodo[2])}"
    path = urlsplit(url).path.lower()
    if path.endswith(WEIGHT_ENDINGS) or (path.endswith(_ARCHIVES) and _MODELS_IN_NAME.search(url)):
        return url
    return url if sure and not path.endswith((".py", ".sh", ".txt", ".json", ".deb", ".whl", "/")) else None
