"""What a verdict is made from: values only, gathered by whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job
from zeroidle.store.protocol import Counts, Delivery, WorkerRecord
from zeroidle.worker import Worker


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is one short word for programs; `sentence` says what is the case, `advice` what to do about it (empty
    when nothing is to be done), `evidence` are the lines that prove it."""

    code: str
    sentence: str
    advice: str = ""
    evidence: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The same as an object."""
        return {
            "code": self.code,
            "sentence": self.sentence,
            "advice": self.advice,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class ScalingFacts:
    """What the scaling loop says. `failures` counts starts that failed in a row, `crashes` workers that were ready and
    then ended unasked; `last_error_kind` is the worker's own word for a failed start; times are Unix seconds."""

    wanted: int = 0
    failures: int = 0
    crashes: int = 0
    backoff_until: float | None = None
    last_error: str | None = None
    last_error_kind: str | None = None
    last_exit: str | None = None
    boot_s: float | None = None


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """An endpoint now. `live` are its workers, `past` the records of ended ones (newest first); `failed_log` holds
    the last lines of the newest worker that failed, `recent` its last ended jobs (newest first)."""

    now: float
    endpoint: Endpoint
    counts: Counts
    scaling: ScalingFacts = ScalingFacts()
    live: Sequence[Worker] = ()
    past: Sequence[WorkerRecord] = ()
    failed_log: Sequence[str] = ()
    recent: Sequence[Job] = ()


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job now. `ahead` counts the jobs that will be handed out before it, `worker` is the record of the worker of
    its last attempt, `log` holds the last lines that it wrote, `delivery` is its webhook's newest delivery."""

    job: Job
    ahead: int | None = None
    worker: WorkerRecord | None = None
    log: Sequence[str] = ()
    delivery: Delivery | None = None
