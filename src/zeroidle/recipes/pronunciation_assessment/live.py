"""The same assessment as a stream for a learner's loop: each step as it is reached, the whole answer last."""

from __future__ import annotations

import functools
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroidle import InputError, endpoint

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the modules both speech services share

if TYPE_CHECKING:
    from zeroidle.recipes.speech.assess_endpoint import Assessing
else:
    from speech.assess_endpoint import Assessing

_END = object()


@endpoint(name="pronunciation-assessment-live")
class PronunciationAssessmentLive(Assessing):
    __doc__ = Assessing.__doc__

    def __init__(self) -> None:
        super().__init__()
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def tell(self, event: dict[str, Any]) -> None:
        """Puts a step into the stream."""
        self._told.put(event)

    @functools.wraps(Assessing.assess)
    def __call__(self, **wishes: Any) -> Iterator[dict[str, Any]]:
        self._told = queue.SimpleQueue()
        worker = threading.Thread(target=self._work, args=(wishes,), daemon=True)
        worker.start()
        while (event := self._told.get()) is not _END:
            if isinstance(event, BaseException):
                raise event
            if "error" in event:
                raise InputError("", event["error"])  # or the job would end well with an error in its last piece
            yield event

    def _work(self, wishes: dict[str, Any]) -> None:
        try:
            self._told.put(self.assess(**wishes))
        except BaseException as exc:  # it belongs to the job, not to this thread
            self._told.put(exc)
        self._told.put(_END)
