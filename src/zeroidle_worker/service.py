"""What the handler's file handed over to be served, taken from the config of `runpod.serverless.start`."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional

from zeroidle_worker.handler import BadHandler, Kind, kind_of


class Service(NamedTuple):
    """A handler and how it is to be run. `aggregate`: the pieces of a stream are its result as well. `refresh`: the
    process is replaced after each job. `modifier` is asked before each hand-out how many jobs may run at once.
    `stubborn`: a job that has begun cannot be stopped from inside, though the handler is async."""

    handler: Callable[[Dict[str, Any]], Any]
    kind: Kind
    concurrency: int
    aggregate: bool = False
    refresh: bool = False
    modifier: Optional[Callable[[int], Any]] = None
    stubborn: bool = False


def from_config(config: Any, concurrency: int) -> Service:
    """Reads the config; unknown keys are ignored, as the SDK does. Raises BadHandler."""
    if not isinstance(config, dict) or config.get("handler") is None:
        raise BadHandler('runpod.serverless.start got no "handler"; call it as start({"handler": handler}).')
    handler, modifier = config["handler"], config.get("concurrency_modifier")
    if modifier is not None and not callable(modifier):
        raise BadHandler(
            'The "concurrency_modifier" is a %s; give it a function from int to int.' % type(modifier).__name__
        )
    return Service(
        handler=handler,
        kind=kind_of(handler),
        concurrency=concurrency,
        aggregate=bool(config.get("return_aggregate_stream")),
        refresh=bool(config.get("refresh_worker")),
        modifier=modifier,
    )
