"""`zeroidle plan migrate`: weights that a Dockerfile bakes into its image, and the same service with a volume."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.errors import ConfigError
from zeroidle.plan.migrate_parse import Instruction, expand, parse, settings
from zeroidle.plan.migrate_shell import WEIGHT_ENDINGS, Command, commands, web_source
from zeroidle.volume.environment import DEAD
from zeroidle.volume.weights import Weights

#: A file of the context below this is no weights, whatever it is called.
_SMALL_BYTES = 1_000_000

#: Variables of a Dockerfile that place a cache in the image; the worker's environment sets them to the volume.
_PLACED = frozenset({"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "MFA_ROOT_DIR"})


@dataclass(slots=True)
class Baked:
    """Weights that one instruction puts into the image. `size_bytes` is known of files of the build context, None
    otherwise. `target` is where they were in the image, if that can be read."""

    line: int
    how: str
    sources: list[str] = field(default_factory=list)
    size_bytes: int | None = None
    target: str | None = None
    note: str | None = None


@dataclass(slots=True)
class Migration:
    """What was found and the way to a volume. `notes` are sentences of what a person must look at."""

    baked: list[Baked]
    dockerfile: str
    settings: str
    notes: list[str]

    @property
    def sources(self) -> list[str]:
        """Every source once."""
        return list(dict.fromkeys(source for found in self.baked for source in found.sources))


def migrate(dockerfile: Path, context: Path | None = None, name: str | None = None) -> Migration:
    """Reads a Dockerfile with its build context; runs nothing. ConfigError when it cannot be read."""
    try:
        text = dockerfile.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{dockerfile} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    instructions = parse(text)
    if not any(i.keyword == "FROM" for i in instructions):
        raise ConfigError(f"{dockerfile} is no Dockerfile: it has no FROM.")
    reader = _Context(context or dockerfile.absolute().parent)
    lines: list[str | None] = list(text.splitlines())
    found: list[Baked] = []
    notes: list[str] = []
    for instruction in instructions:
        baked, instead = _examine(instruction, reader, notes)
        found += baked
        if instead is not None:
            lines[instruction.start : instruction.end] = [instead, *[None] * (instruction.end - instruction.start - 1)]
    changed = "\n".join(line for line in lines if line is not None).rstrip() + "\n"
    _note_targets(found, notes)
    plan = Migration(found, changed, "", notes)
    plan.settings = _toml(plan, instructions, name or _slug((context or dockerfile.absolute().parent).name))
    return plan


class _Context:
    """The build context, and what COPY makes of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.copied: dict[str, str] = {}
        self.seen: set[Path] = set()

    def read(self, path: str) -> str | None:
        """The text of a file of the context, by its name there or in the image."""
        name = path.rsplit("/", 1)[-1]
        for candidate in (path.lstrip("/"), self.copied.get(path, ""), self.copied.get(name, ""), name):
            file = self.root / candidate if candidate else None
            if file is not None and file.is_file() and file.stat().st_size < _SMALL_BYTES:
                return file.read_text(errors="replace")
        return None

    def weights(self, pattern: str) -> list[Path]:
        """The files of weights that a source of COPY stands for."""
        paths = [self.root] if pattern in (".", "./") else sorted(self.root.glob(pattern.strip("/") or "*"))
        every = [f for p in paths for f in (p.rglob("*") if p.is_dir() else [p])]
        return [f for f in every if f.suffix.lower() in WEIGHT_ENDINGS and f.stat().st_size >= _SMALL_BYTES]


def _examine(instruction: Instruction, context: _Context, notes: list[str]) -> tuple[list[Baked], str | None]:
    """What an instruction bakes, and what stands in its place; None when it stays as it is."""
    if instruction.keyword == "RUN":
        return _run(instruction, context)
    if instruction.keyword in ("COPY", "ADD"):
        return _copy(instruction, context, notes)
    if instruction.keyword in ("ENV", "ARG"):
        return [], _env(instruction, notes)
    return [], None


def _run(instruction: Instruction, context: _Context) -> tuple[list[Baked], str | None]:
    words = instruction.words
    if instruction.text.startswith("<<") and len(instruction.heredocs) == 1:
        return _script(instruction, context)
    line = shlex.join(words) if words is not None else instruction.text
    flags = re.match(r"(?:--\w+=\S+\s+)*", line)
    prefix = flags[0] if flags else ""
    every = commands(line[len(prefix) :], instruction.variables, context.read, instruction.heredocs)
    found = [
        Baked(instruction.start + 1, "download", _valid(c.sources), None, c.target, c.note) for c in every if c.bakes
    ]
    if not found:
        return [], None
    kept = [c for c in every if not c.bakes and not _only_for(c, every)]
    said = ", ".join(s for b in found for s in b.sources) or "weights"
    comment = f"# On the volume now: {said}"
    if not kept:
        return found, comment
    rest = "".join(f" {c.joint} {c.text}" if index else c.text for index, c in enumerate(kept))
    return found, f"{comment}\nRUN {prefix}{rest}"


def _script(instruction: Instruction, context: _Context) -> tuple[list[Baked], str | None]:
    """A here-document is a script; a line of it goes when it does nothing but download."""
    found: list[Baked] = []
    kept: list[str] = []
    for line in instruction.heredocs[0].splitlines():
        every = [] if line.lstrip().startswith("#") else commands(line, instruction.variables, context.read)
        baking = [c for c in every if c.bakes]
        found += [Baked(instruction.start + 1, "download", _valid(c.sources), None, c.target, c.note) for c in baking]
        rest = [c for c in every if not c.bakes]
        if not baking:
            kept.append(line)
        elif rest:
            kept.append("".join(f" {c.joint} {c.text}" if index else c.text for index, c in enumerate(rest)))
    if not found:
        return [], None
    comment = f"# On the volume now: {', '.join(s for b in found for s in b.sources)}"
    word = instruction.text.removeprefix("<<").lstrip("-").strip().strip("\"'")
    return found, "\n".join([comment, f"RUN {instruction.text}", *kept, word])


def _only_for(command: Command, every: list[Command]) -> bool:
    """Whether a command only serves the download: it makes or leaves the folder, or deletes the program."""
    words = command.text.split()
    if words[:1] in (["mkdir"], ["cd"]):
        return all(c.bakes or c.text.split()[:1] in (["mkdir"], ["cd"], ["rm"]) for c in every)
    if words[:1] == ["rm"]:
        return any(c.bakes and any(w in c.text for w in words[1:] if not w.startswith("-")) for c in every)
    return command.text in ("git lfs install",)


def _copy(instruction: Instruction, context: _Context, notes: list[str]) -> tuple[list[Baked], str | None]:
    words = instruction.words or instruction.text.split()
    flags = [w for w in words if w.startswith("--")]
    paths = [expand(w, instruction.variables) for w in words if not w.startswith("--")]
    if len(paths) < 2 or instruction.heredocs:
        return [], None
    sources, target = paths[:-1], paths[-1]
    if any(flag.startswith("--from=") for flag in flags):
        if any(re.search(r"model|weight|checkpoint|hub|\.cache", p, re.IGNORECASE) for p in sources):
            notes.append(
                f"Line {instruction.start + 1} copies {', '.join(sources)} from another stage; if these are weights "
                "that the stage downloads, remove the line as well."
            )
        return [], None
    found: list[Baked] = []
    for source in sources:
        if source.startswith(("http://", "https://")):
            url = web_source(source)
            if url is not None:
                found.append(Baked(instruction.start + 1, "download", _valid([url]), None, target))
            continue
        context.copied[target if len(sources) == 1 and not target.endswith("/") else source] = source
        context.copied.setdefault(f"{target.rstrip('/')}/{source.rsplit('/', 1)[-1]}", source)
        files = [f for f in context.weights(source) if f not in context.seen]
        context.seen.update(files)
        if files:
            found.append(_copied(instruction, context, source, target, files))
    if not found:
        return [], None
    whole = all(b.how == "download" or s not in (".", "./") for b, s in zip(found, sources, strict=False))
    if len(found) == len(sources) and whole:
        return found, f"# On the volume now: {', '.join(s for b in found for s in b.sources)}"
    notes.append(
        f"Line {instruction.start + 1} copies weights together with other files; put the weights into .dockerignore: "
        + ", ".join(sorted({s for b in found for s in b.sources}))
    )
    return found, None


def _copied(instruction: Instruction, context: _Context, source: str, target: str, files: list[Path]) -> Baked:
    folder = (context.root / source.strip("/")) if source not in (".", "./") else context.root
    patterns = ",".join(sorted({f"*{f.suffix}" for f in files})) if folder.is_dir() and folder == context.root else ""
    text = f"file:{folder}" + (f"#allow={patterns}" if patterns else "")
    size = sum(f.stat().st_size for f in files)
    return Baked(instruction.start + 1, "copy", [text], size, target)


def _env(instruction: Instruction, notes: list[str]) -> str | None:
    if instruction.keyword == "ARG":
        return None
    given = settings(instruction)
    for key in given:
        if key in DEAD:
            dead = DEAD[key]
            instead = f"; the variable is {dead.instead}" if dead.instead else ""
            notes.append(f"Line {instruction.start + 1}: {key} does nothing, {dead.library} does not read it{instead}.")
    kept = {key: value for key, value in given.items() if key not in _PLACED and key not in DEAD}
    if len(kept) == len(given):
        return None
    gone = ", ".join(sorted(set(given) - set(kept)))
    comment = f"# Set for the worker by its volume, or read by nothing: {gone}"
    if not kept:
        return comment
    return comment + "\nENV " + " ".join(f'{key}="{value}"' for key, value in kept.items())


def _valid(sources: list[str]) -> list[str]:
    """Those that a volume can fetch, each once."""
    found = []
    for source in dict.fromkeys(sources):
        try:
            found.append(Weights(source).text)
        except ConfigError:
            continue
    return found


def _note_targets(found: list[Baked], notes: list[str]) -> None:
    for baked in found:
        if baked.note:
            notes.append(f"Line {baked.line}: {baked.note}.")
        if baked.target and baked.sources:
            notes.append(
                f"Line {baked.line} put them at {baked.target}; a handler that opens that path gets the new one by "
                f"Weights({baked.sources[0]!r}).path. Loaders that ask by a model's name need no change."
            )
        for source in baked.sources:
            if source.startswith("file:"):
                notes.append(
                    f"{source} lies on this machine only; carry it by zeroidle volume export and import, or put it "
                    "into a bucket and name that."
                )
            if source.startswith("https://") and "sha256=" not in source:
                notes.append(f"{source} is not pinned; zeroidle volume lock fetches it once and notes its hash.")


def _toml(plan: Migration, instructions: list[Instruction], name: str) -> str:
    handler = next(_handlers(instructions), "handler.py")
    lines = [f"[endpoint.{name}]", f'handler = "{handler}"']
    if plan.sources:
        lines += ["weights = [", *(f'  "{source}",' for source in plan.sources), "]"]
        lines.append('volume = "/runpod-volume/zeroidle"   # /workspace/zeroidle on a pod, /data/zeroidle on Vast.ai')
    return "\n".join(lines) + "\n"


def _handlers(instructions: list[Instruction]) -> Iterator[str]:
    for instruction in reversed(instructions):
        if instruction.keyword in ("CMD", "ENTRYPOINT"):
            for word in instruction.words or instruction.text.split():
                if word.endswith(".py"):
                    yield word.rsplit("/", 1)[-1]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "service"
