"""Why is it as it is: a verdict for an endpoint, a pure function of facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zeroidle.insight.facts import EndpointFacts, ScalingFacts, Verdict
from zeroidle.insight.failure import recognise, tail
from zeroidle.insight.spans import jobs_wait, plural, span
from zeroidle.worker import Worker, WorkerState

#: Of the last ended jobs, how many must have failed before an endpoint counts as failing.
_FAILING_SHARE = 0.5
#: So many crashes in a row may be the work of one poison job.
_SINGLE_CRASHES = 2
WEIGHTS_ADVICE = "The volume as it is: zeroidle volume ls."
_SIGNS_OF_CRASH = ("exit ", "signal ", "out of memory")
#: What a worker does after a phase of its start; phases are told when they end.
_NEXT_PHASE = {"boot": "import"}


def endpoint_verdict(facts: EndpointFacts) -> Verdict:
    """The most important thing to know about an endpoint."""
    for look in (paused, crash_loop, _starting, _saturated, _waiting, failing, _busy):
        verdict = look(facts)
        if verdict is not None:
            return _with_start_note(verdict, facts)
    return _with_start_note(_healthy(facts), facts)


def _with_start_note(verdict: Verdict, facts: EndpointFacts) -> Verdict:
    """Adds why workers start from a bare interpreter, which costs their imports at every start."""
    note = next((worker.start_note for worker in facts.live if worker.start_note), "")
    if not note:
        return verdict
    return replace(verdict, sentence=f"{verdict.sentence} Its workers are spawned, not forked: {note}.")


def paused(facts: EndpointFacts) -> Verdict | None:
    """No worker is allowed."""
    if facts.endpoint.max_workers > 0:
        return None
    name = facts.endpoint.name
    return Verdict(
        "max-workers-0",
        f"The endpoint {name} may have no worker (workers = [0, 0]): "
        f"{jobs_wait(facts.counts.queued + facts.counts.queued_low)}.",
        f"Allow some: workers = [0, 3] in [endpoint.{name}], or --workers 0:3.",
    )


def crash_loop(facts: EndpointFacts) -> Verdict | None:
    """Workers fail to start, or die, one after another."""
    scaling = facts.scaling
    crashing = scaling.crashes > _SINGLE_CRASHES
    if scaling.failures < 1 and not crashing:
        return None
    ready = [w for w in facts.live if w.state is WorkerState.READY]
    if ready and scaling.failures < 3 and not crashing:
        return None
    record = next((r for r in facts.past if r.error or _crashed(r.exit)), None)
    words = _last_words(record.error if record and record.error else scaling.last_error, facts.failed_log)
    exit_text = (record.exit if record else None) or scaling.last_exit
    cause = recognise(facts.endpoint, words, exit_text) or recognise(facts.endpoint, words, scaling.last_error_kind)
    times = _times(scaling)
    again = ""
    if scaling.backoff_until is not None and scaling.backoff_until > facts.now:
        again = f" The next try is in {span(scaling.backoff_until - facts.now)}."
    keep = _kept(facts)
    if cause is not None:
        return Verdict(cause.code, f"{cause.sentence} {times}.{again}{keep}", cause.advice, cause.evidence)
    how = f" ({exit_text.removeprefix('failed: ')})" if exit_text else ""
    evidence = tail(words)
    if evidence:
        advice = (
            "Read the last lines below and correct the handler; the next try takes it as it is then. "
            f"All of it: zeroidle logs {record.id if record else facts.endpoint.name}"
        )
    else:
        advice = f"They wrote nothing; run the file alone to see more: {facts.endpoint.python} {facts.endpoint.handler}"
    return Verdict(
        "crash-loop",
        f"The workers of {facts.endpoint.name} do not come up: {times[0].lower()}{times[1:]}{how}.{again}{keep}",
        advice,
        evidence,
    )


def _last_words(error: str | None, log: Sequence[str]) -> str:
    """What the worker said of its end and the end of its log, which mostly says it too."""
    said = (error or "").strip()
    logged = "\n".join(log).strip()
    if not said or said.splitlines()[-1].strip() in logged:
        return logged or said
    return f"{said}\n{logged}".strip()


def _times(scaling: ScalingFacts) -> str:
    if scaling.failures > 1:
        return f"{plural(scaling.failures, 'start')} in a row failed"
    if scaling.failures == 1:
        return "The last start failed"
    return f"{plural(scaling.crashes, 'worker')} in a row crashed"


def _crashed(exit_text: str | None) -> bool:
    return bool(exit_text) and exit_text != "exit 0" and str(exit_text).startswith(_SIGNS_OF_CRASH)


def _kept(facts: EndpointFacts) -> str:
    waiting = facts.counts.queued + facts.counts.queued_low
    return f" {jobs_wait(waiting)} and {'is' if waiting == 1 else 'are'} kept." if waiting else ""


def starting_worker(facts: EndpointFacts) -> Worker | None:
    """The worker that has been starting for longest, when none is ready."""
    if any(w.state is WorkerState.READY for w in facts.live):
        return None
    starting = [w for w in facts.live if w.state is WorkerState.STARTING]
    return min(starting, key=lambda w: w.started_at, default=None)


def starting_sentence(facts: EndpointFacts, worker: Worker) -> str:
    """In which phase a starting worker is, and for how long."""
    if worker.waits_for is not None:
        return f"Worker {worker.id} waits: {worker.waits_for()}"
    age = facts.now - worker.started_at
    current = worker.phases[-1] if worker.phases else None
    if current is None:
        phase, since = "boot", age
    elif current.end is None:
        phase, since = current.name, current.seconds(facts.now)
    else:  # the next phase is not announced before it ends
        phase, since = _NEXT_PHASE.get(current.name, "warm-up"), facts.now - current.end
    boot_s = facts.scaling.boot_s
    usual = f"; a start takes about {span(boot_s)}" if boot_s else ""
    return f"Worker {worker.id} has been starting for {span(age)} (in {phase} for {span(since)}{usual})."


def slow_start_advice(facts: EndpointFacts, worker: Worker) -> str:
    """What to do when a start takes much longer than usual."""
    age, boot_s = facts.now - worker.started_at, facts.scaling.boot_s
    if age < max(30.0, 3 * (boot_s or 0.0)):
        return ""
    return (
        f"It is slow: zeroidle logs {worker.id} shows what it does. It is given up after "
        f"{span(facts.endpoint.start_timeout_s)} (start_timeout)."
    )


def _starting(facts: EndpointFacts) -> Verdict | None:
    worker = starting_worker(facts)
    if worker is None:
        return None
    if worker.waits_for is not None:
        return Verdict("weights", f"{facts.endpoint.name} waits: {worker.waits_for()}{_kept(facts)}", WEIGHTS_ADVICE)
    sentence = starting_sentence(facts, worker) + _kept(facts)
    return Verdict("worker-starting", sentence, slow_start_advice(facts, worker))


def _saturated(facts: EndpointFacts) -> Verdict | None:
    """Every worker that may live is busy and jobs wait."""
    ready = [w for w in facts.live if w.state is WorkerState.READY]
    queued = facts.counts.queued
    if not queued or len(facts.live) < facts.endpoint.max_workers or not all(w.busy for w in ready):
        return None
    oldest = facts.now - (facts.counts.oldest_queued_at or facts.now)
    means = [w.mean_run_s for w in ready if w.mean_run_s]
    slots = sum(w.concurrency for w in ready) or 1
    rest = (
        f" At {span(sum(means) / len(means))} a job that is {span(queued * sum(means) / len(means) / slots)} of work."
    )
    return Verdict(
        "saturated",
        f"All {plural(len(facts.live), 'worker')} (the maximum) are busy; {jobs_wait(queued)}, the oldest for "
        f"{span(oldest)}.{rest if means else ''}",
        f"Raise the maximum of workers in [endpoint.{facts.endpoint.name}], or concurrency when the handler can run "
        "several jobs at a time.",
    )


def _waiting(facts: EndpointFacts) -> Verdict | None:
    """Jobs wait and no worker is there or on its way."""
    counts, name = facts.counts, facts.endpoint.name
    if facts.live:
        return None
    if counts.queued:
        oldest = facts.now - (counts.oldest_queued_at or facts.now)
        return Verdict(
            "waiting-for-capacity",
            f"{jobs_wait(counts.queued)} at {name} for a worker to be started, the oldest for {span(oldest)} "
            f"({facts.scaling.wanted} wanted).",
            "" if oldest < 10 else "The machine may have no room: see zeroidle ps, and the log of zeroidle up.",
        )
    if counts.queued_low:
        return Verdict(
            "low-priority",
            f"{plural(counts.queued_low, 'job')} of {name} have low priority, which starts no worker; they run when "
            "another job has started one.",
            "Send a job without policy.lowPriority, or keep a worker: workers = [1, 3].",
        )
    return None


def failing(facts: EndpointFacts) -> Verdict | None:
    """Most of the last jobs failed."""
    ended = [job for job in facts.recent if job.final]
    bad = [job for job in ended if job.status in ("FAILED", "TIMED_OUT")]
    if len(ended) < 3 or len(bad) < _FAILING_SHARE * len(ended):
        return None
    newest = bad[0]
    return Verdict(
        "jobs-fail",
        f"{len(bad)} of the last {len(ended)} jobs of {facts.endpoint.name} ended as {newest.status}.",
        f"See one of them: zeroidle why {newest.id}",
        tail(newest.error, 3),
    )


def _busy(facts: EndpointFacts) -> Verdict | None:
    busy = [w for w in facts.live if w.busy]
    if not busy and not facts.counts.queued:
        return None
    waiting = f", {jobs_wait(facts.counts.queued)}" if facts.counts.queued else ""
    return Verdict(
        "healthy",
        f"{facts.endpoint.name} works: {plural(len(busy), 'worker')} of {len(facts.live)} busy with "
        f"{plural(facts.counts.in_progress, 'job')}{waiting}.",
    )


def _healthy(facts: EndpointFacts) -> Verdict:
    name, counts = facts.endpoint.name, facts.counts
    done = f"{counts.completed} completed, {counts.failed} failed so far"
    if facts.live:
        return Verdict("healthy", f"{name} is healthy: {plural(len(facts.live), 'worker')} ready and idle; {done}.")
    return Verdict("healthy", f"{name} is healthy and at zero workers, because nobody calls; {done}.")
