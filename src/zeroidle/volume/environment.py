"""The environment by which libraries find the volume, and settings that look as if they did but that nothing reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroidle.volume.layout import VOLUME_ENV, Layout
from zeroidle.volume.store import Tree
from zeroidle_worker.api.weights import WEIGHTS_ENV

#: Where a worker notes that it uses its trees: a JSON list of folders.
USES_ENV = "ZEROIDLE_WEIGHTS_USES"


@dataclass(frozen=True, slots=True)
class Dead:
    """A variable that a library does not read. `instead` is the one that it does, if there is one."""

    library: str
    instead: str | None
    reason: str


#: Names found in the wild that do nothing; each was looked up in the library's own source.
DEAD: dict[str, Dead] = {
    "MFA_ROOT_DIRECTORY": Dead("MFA", "MFA_ROOT_DIR", "MFA would download into ~/Documents/MFA at every start"),
    "ESPNET_MODEL_ZOO_CACHE_DIR": Dead(
        "ESPnet", None, "pass cachedir= to ModelDownloader, or load from the path of the weights"
    ),
    "ESPNET_CACHE_DIR": Dead("ESPnet", None, "pass cachedir= to ModelDownloader, or load from the path of the weights"),
    "PYTORCH_TRANSFORMERS_CACHE": Dead("transformers 5", "HF_HOME", "it was dropped with transformers 5"),
    "PYTORCH_PRETRAINED_BERT_CACHE": Dead("transformers 5", "HF_HOME", "it was dropped with transformers 5"),
    "TRANSFORMERS_CACHE": Dead("transformers 5", "HF_HOME", "transformers 4 read it; 5 does not"),
    "HF_TRANSFORMERS_CACHE": Dead("transformers", "HF_HOME", "no version ever read it"),
    "HF_CACHE": Dead("huggingface_hub", "HF_HOME", "no version ever read it"),
    "HF_CACHE_DIR": Dead("huggingface_hub", "HF_HOME", "no version ever read it"),
    "HUGGINGFACE_HOME": Dead("huggingface_hub", "HF_HOME", "no version ever read it"),
    "HUGGINGFACE_CACHE": Dead("huggingface_hub", "HF_HOME", "no version ever read it"),
    "HF_OFFLINE": Dead("huggingface_hub", "HF_HUB_OFFLINE", "no version ever read it"),
    "HF_HUB_ENABLE_HF_TRANSFER": Dead(
        "huggingface_hub 1", None, "hf_transfer is gone; what is on the volume needs no download at all"
    ),
    "DIFFUSERS_CACHE": Dead("diffusers", "HF_HOME", "diffusers uses the hub's cache"),
    "FASTER_WHISPER_CACHE": Dead("faster-whisper", "HF_HOME", "faster-whisper uses the hub's cache"),
    "WHISPER_CACHE_DIR": Dead("openai-whisper", "XDG_CACHE_HOME", "whisper reads XDG_CACHE_HOME, or download_root="),
    "TORCH_HUB": Dead("torch", "TORCH_HOME", "torch reads TORCH_HOME"),
    "TORCH_CACHE": Dead("torch", "TORCH_HOME", "torch reads TORCH_HOME"),
    "TORCH_HUB_DIR": Dead("torch", "TORCH_HOME", "torch reads TORCH_HOME"),
}  # fmt: skip

_LOOKS_LIKE_CACHE = re.compile(r"[A-Z][A-Z0-9_]*_(HOME|CACHE|CACHE_DIR|CACHE_HOME|ROOT_DIR|MODEL_DIR|OFFLINE)")


def environment(
    layout: Layout, trees: Sequence[Tree], given: Mapping[str, str], texts: Sequence[str] = ()
) -> dict[str, str]:
    """What a worker's environment gets so that the libraries find its weights.

    What the user has set (`given`) is left alone; `texts` are the sources of the trees as the user wrote them. The hub
    is only forbidden to ask (HF_HUB_OFFLINE) when there are hub weights: call this with complete trees only.
    """
    folders = {tree.weights.text: str(tree.path) for tree in trees}
    folders.update({text: str(tree.path) for text, tree in zip(texts, trees, strict=False)})
    found = {
        VOLUME_ENV: str(layout.root),
        "HF_HOME": str(layout.root / "hf"),
        "TORCH_HOME": str(layout.root / "torch"),
        "MFA_ROOT_DIR": str(layout.root / "mfa"),
        WEIGHTS_ENV: json.dumps(folders),
        USES_ENV: json.dumps([str(layout.uses / tree.manifest.key) for tree in trees]),
    }
    if any(tree.weights.parsed.kind == "hf" for tree in trees):
        found["HF_HUB_OFFLINE"] = "1"
        found["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if any(name in given for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")):
        # The user's own cache has other content; offline, what is missing in it could not be had.
        for name in ("HF_HOME", "HF_HUB_OFFLINE"):
            found.pop(name, None)
    own = (VOLUME_ENV, WEIGHTS_ENV, USES_ENV)
    return {name: value for name, value in found.items() if name in own or name not in given}


def report(env: Mapping[str, str]) -> list[str]:
    """One sentence for each variable that is set and that nothing reads."""
    found = []
    for name in sorted(env):
        dead = DEAD.get(name)
        if dead is not None:
            instead = f"set {dead.instead} instead ({dead.reason})" if dead.instead else dead.reason
            found.append(f"{name} does nothing: {dead.library} does not read it; {instead}.")
    return found


def unread(names: Iterable[str], site_packages: Iterable[Path]) -> dict[str, bool]:
    """For each name whether any installed package has it in its source. Reads all Python and compiled files below the
    given folders, which takes seconds."""
    wanted = {name: name.encode() for name in names}
    found = dict.fromkeys(wanted, False)
    for folder in site_packages:
        for path in folder.rglob("*"):
            if path.suffix not in (".py", ".so") or not path.is_file():
                continue
            data = path.read_bytes()
            for name, text in wanted.items():
                if not found[name] and text in data:
                    found[name] = True
        if all(found.values()):
            break
    return found


def suspicious(env: Mapping[str, str]) -> list[str]:
    """Names that look as if they told a library where its cache is, and are not ours."""
    return [name for name in sorted(env) if _LOOKS_LIKE_CACHE.fullmatch(name)]
