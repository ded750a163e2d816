"""The jobs that ended last, kept in memory: most are asked for right after their end."""

from __future__ import annotations

from collections import OrderedDict

from zeroidle.job import Job

#: How often those whose time is over are looked for: nobody gets them, they only take room until then. In seconds.
_LOOK_EVERY_S = 10.0
#: What all of them may take together, in bytes; a small job counts as about 2 KiB.
LIMIT_BYTES = 4 << 20
_JOB_BYTES = 2048
_IN_MEMORY = (bytes, str)


class Recent:
    """Ended jobs by endpoint and id, each until its retention is over or newer ones need the room."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[str, str], tuple[Job, float, int]] = OrderedDict()
        self._bytes = 0
        self._looked_at = 0.0

    def add(self, job: Job, forget_at: float) -> None:
        """Keeps a job whose end is durable."""
        size_bytes = _JOB_BYTES
        for payload in (job.input, job.output, job.envelope, job.error):
            if isinstance(payload, _IN_MEMORY):
                size_bytes += len(payload)
        if size_bytes > LIMIT_BYTES // 16:
            return
        key = job.endpoint, job.id
        if key in self._jobs:
            self.pop(*key)
        self._jobs[key] = (job, forget_at, size_bytes)
        self._bytes += size_bytes
        while self._bytes > LIMIT_BYTES:
            self._bytes -= self._jobs.popitem(last=False)[1][2]

    def get(self, endpoint: str, job_id: str, now: float) -> Job | None:
        """The job, when it is here and its time is not over."""
        found = self._jobs.get((endpoint, job_id))
        return found[0] if found is not None and found[1] > now else None

    def pop(self, endpoint: str, job_id: str) -> None:
        """Forgets a job."""
        found = self._jobs.pop((endpoint, job_id), None)
        if found is not None:
            self._bytes -= found[2]

    def expire(self, now: float) -> None:
        """Forgets those whose time is over."""
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        for key in [key for key, (_, forget_at, _) in self._jobs.items() if forget_at <= now]:
            self.pop(*key)
