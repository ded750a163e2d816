"""`from zeroidle import log`: a logger whose lines name the job that they are about."""

from __future__ import annotations

import logging
import sys

from zeroidle_worker import current


class _JobFilter(logging.Filter):
    """Gives each record the id of the job that runs in the calling thread or task."""

    def filter(self, record: logging.LogRecord) -> bool:
        running = current.running()
        record.job = running.id if running else "-"
        return True


def _make() -> logging.Logger:
    made = logging.getLogger("zeroidle.job")
    if not made.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.addFilter(_JobFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(job)s %(message)s"))
        made.addHandler(handler)
        made.setLevel(logging.INFO)
        made.propagate = False  # a root logger of the handler's would print the line again
    return made


#: Use it as any logger: `log.info("loaded %s", name)`. `zeroidle logs JOB` shows the lines.
log = _make()
