"""Where the platform keeps a cached model."""

from __future__ import annotations

from typing import Optional

from ..modules.rp_logger import RunPodLogger

log = RunPodLogger()


def resolve_model_cache_path_from_hugginface_repository(
    huggingface_repository: str, /, path_template: str = "/runpod/cache/{model}/{revision}"
) -> Optional[str]:
    """The path for "org/model" or "org/model:revision" (default: main); None without a model's name."""
    model, *revision = huggingface_repository.rsplit(":", 1)
    if not model:
        log.warn('Unable to resolve the model-cache path for "%s"' % huggingface_repository)
        return None
    return path_template.format(model=model, revision=revision[0] if revision else "main")
