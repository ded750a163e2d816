"""The `@endpoint` decorator: notes what a file declares and leaves the function or class as it is."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

T = TypeVar("T", bound=Callable[..., Any])

#: What the decorator takes: the same keys as in zeroidle.toml.
KEYS = (
    "name", "gpu", "weights", "volume", "pip", "apt", "image", "workers", "idle", "timeout", "ttl", "concurrency",
    "batch", "scaler", "env", "secrets", "openai", "retries", "files", "file_limit", "file_timeout", "private_urls",
    "start_timeout", "lease", "retention", "retention_sync", "retention_batch", "max_body",
    "max_body_sync", "rate_limits", "fork_server",
)  # fmt: skip


class Declared(NamedTuple):
    """One decorated function or class and its settings as they were written."""

    name: str
    target: Callable[..., Any]
    settings: Dict[str, Any]


#: Everything that was decorated in this process, in order.
DECLARED: List[Declared] = []


class DeclarationError(TypeError):
    """The decorator was used in a way that has no meaning."""


def endpoint(
    target: Optional[T] = None,
    *,
    name: Optional[str] = None,
    gpu: Union[str, Sequence[str], None] = None,
    weights: Any = None,
    volume: Optional[str] = None,
    pip: Sequence[str] = (),
    apt: Sequence[str] = (),
    image: Union[str, Mapping[str, Any], None] = None,
    workers: Union[int, Tuple[int, int], None] = None,
    idle: Union[str, float, None] = None,
    timeout: Union[str, float, None] = None,
    ttl: Union[str, float, None] = None,
    concurrency: Optional[int] = None,
    batch: Union[int, Tuple[int, Union[str, float]], None] = None,
    scaler: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    secrets: Sequence[str] = (),
    openai: Optional[str] = None,
    retries: Optional[int] = None,
    **others: Any,
) -> Any:
    """Makes an endpoint of a function, async function, generator, async generator or a class with `__call__`.

    Every argument is a key of `zeroidle.toml` too, and the file wins. `name` defaults to the function's or class's
    name in lower case with dashes. Durations are seconds or text as in "60s" and "5m". `workers` is the least and
    the most (or the most alone). `batch` is the most requests handed over at once and how long to collect them:
    then each argument is a list with one member per request, and the answer is a list of as many results.
    `secrets` are names of environment variables that the handler needs. `others` are the settings that are rarely
    changed, as `files`, `file_limit`, `private_urls`, `start_timeout` and `retention`.
    """
    for key in others:
        if key in KEYS:
            continue
        import difflib

        near = difflib.get_close_matches(key, KEYS, 1)
        hint = "did you mean %s?" % near[0] if near else "it knows %s." % ", ".join(KEYS)
        raise DeclarationError("@endpoint does not know %r; %s" % (key, hint))
    given = {
        "gpu": gpu, "weights": weights, "volume": volume, "pip": list(pip), "apt": list(apt), "image": image,
        "workers": list(workers) if isinstance(workers, tuple) else workers, "idle": idle, "timeout": timeout,
        "ttl": ttl, "concurrency": concurrency, "batch": list(batch) if isinstance(batch, tuple) else batch,
        "scaler": scaler, "env": dict(env) if env else None, "secrets": list(secrets), "openai": openai,
        "retries": retries, **others,
    }  # fmt: skip
    settings = {key: value for key, value in given.items() if value not in (None, [])}

    def decorate(target: T) -> T:
        if not callable(target):
            raise DeclarationError("@endpoint stands before a function or a class, not before %r." % (target,))
        if isinstance(target, type) and not callable(getattr(target, "__call__", None)):
            raise DeclarationError("The class %s needs a method __call__ to be an endpoint." % target.__name__)
        chosen = name or default_name(target.__name__)
        if any(d.name == chosen for d in DECLARED):
            raise DeclarationError("Two endpoints are named %r; give one of them another name." % chosen)
        DECLARED.append(Declared(chosen, target, settings))
        return target

    return decorate if target is None else decorate(target)


def default_name(identifier: str) -> str:
    """`PronunciationAssessment` and `pronunciation_assessment` -> `pronunciation-assessment`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", identifier)
    return words.replace("_", "-").strip("-").lower()
