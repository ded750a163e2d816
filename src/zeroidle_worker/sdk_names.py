"""Which names the real `runpod` package has, and how a light module answers for those that it lacks."""

from __future__ import annotations

import importlib
from importlib.machinery import PathFinder
from typing import Any, Callable, Mapping, Sequence

#: Names of the real package (1.12.0) that the light one lacks: modules with everything below them, and attributes.
_REAL = {
    "runpod": (
        "api", "cli", "endpoint", "error", "http_client", "user_agent", "AsyncioEndpoint", "AsyncioJob",
        "Endpoint", "SSH_KEY_PATH", "check_credentials", "get_credentials", "set_credentials",
        "create_container_registry_auth", "create_endpoint", "create_pod", "create_template",
        "delete_container_registry_auth", "get_endpoints", "get_gpu", "get_gpus", "get_pod", "get_pods", "get_user",
        "resume_pod", "stop_pod", "terminate_pod", "update_container_registry_auth", "update_endpoint_template",
        "update_user_settings",
    ),
    "runpod.serverless": ("VolumeCache", "worker", "parser", "binaries"),
    "runpod.serverless.utils": ("VolumeCache", "rp_volume_cache"),
    "runpod.serverless.modules": (
        "rp_fastapi", "rp_gpu_fitness", "rp_handler", "rp_http", "rp_job", "rp_local", "rp_ping", "rp_scale",
        "rp_system_fitness", "rp_tips", "worker_state",
    ),
}  # fmt: skip


def known(name: str) -> bool:
    """Whether the real package has it, as far as is known."""
    return any(
        name == full or name.startswith(full + ".")
        for module, names in _REAL.items()
        for full in ("%s.%s" % (module, own) for own in names)
    )


def answer(module: str, path: Sequence[str], lazy: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: names that are imported on first use (name to module), then submodules; at anything
    else the real package is brought in."""

    def get(name: str) -> Any:
        full = "%s.%s" % (module, name)
        if name in lazy:
            return getattr(importlib.import_module(lazy[name]), name)
        if not name.startswith("__"):
            if path and PathFinder.find_spec(full, list(path)) is not None:
                return importlib.import_module(full)
            from zeroidle_worker.runpod_shim import need_real

            need_real(full)
        raise AttributeError("module %r has no attribute %r" % (module, name))

    return get
