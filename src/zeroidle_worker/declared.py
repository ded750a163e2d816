"""Serves an endpoint that a file declares with `@endpoint`."""

from __future__ import annotations

import time
from typing import Any, Callable, NamedTuple, Optional

from zeroidle_worker.api.adapt import Adapted, adapt
from zeroidle_worker.api.declare import DECLARED
from zeroidle_worker.api.load import load_file
from zeroidle_worker.call import own_loop
from zeroidle_worker.handler import BadHandler, is_awaitable, kind_of
from zeroidle_worker.service import Service
from zeroidle_worker.settings import Settings


class Chosen(NamedTuple):
    """A declared endpoint, adapted to the loop."""

    adapted: Adapted

    def set_up(self, phase: Callable[[str, float, float], None]) -> Service:
        """Calls its `setup`, which is the phase "warm-up"."""
        if self.adapted.setup is not None:
            start = time.time()
            value = self.adapted.setup()
            if is_awaitable(value):
                own_loop().run_until_complete(value)
            phase("warm-up", start, time.time())
        handler: Any = self.adapted.handler
        return Service(
            handler, kind_of(handler), self.adapted.concurrency, aggregate=True, stubborn=self.adapted.stubborn
        )


def choose(path: str, settings: Settings) -> Optional[Chosen]:
    """The endpoint named by the settings, else the only one; None when the file declares none. Raises
    BadHandler when it cannot be told which."""
    found = list(DECLARED) or load_file(path)
    if not found:
        return None
    named = [declared for declared in found if declared.name == settings.name]
    if not named and (settings.name or len(found) > 1):
        names = ", ".join(declared.name for declared in found)
        if settings.name:
            raise BadHandler("%s declares no endpoint named %s; it declares %s." % (path, settings.name, names))
        raise BadHandler("%s declares %s; name one of them: FILE.py:NAME." % (path, names))
    given = dict(settings.declared)
    if "ZEROIDLE_CONCURRENCY" in settings.taken:
        given["concurrency"] = settings.concurrency
    return Chosen(adapt((named or found)[0], given))
