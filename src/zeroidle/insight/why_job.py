"""Why is this job as it is: a verdict for one job, a pure function of facts."""

from __future__ import annotations

from zeroidle.insight import why
from zeroidle.insight.facts import EndpointFacts, JobFacts, Verdict
from zeroidle.insight.failure import recognise, recognise_error, split_error, tail
from zeroidle.insight.spans import plural, span
from zeroidle.job import Job, Status
from zeroidle.worker import WorkerState

#: A job that runs this many times longer than the mean is called slow.
_SLOW = 3.0


def job_verdict(facts: JobFacts, endpoint: EndpointFacts) -> Verdict:
    """Why the job waits, runs, failed or is done."""
    if facts.job.status is Status.IN_QUEUE:
        return _queued(facts, endpoint)
    if facts.job.status is Status.IN_PROGRESS:
        return _running(facts, endpoint)
    if facts.job.status is Status.FAILED:
        return _failed(facts, endpoint)
    if facts.job.status is Status.TIMED_OUT:
        return _timed_out(facts, endpoint)
    if facts.job.status is Status.CANCELLED:
        return _cancelled(facts.job)
    return _completed(facts)


def _age(job: Job, now: float) -> float:
    return now - (job.queued_at or job.created_at)


def _queued(facts: JobFacts, endpoint: EndpointFacts) -> Verdict:
    """From what cannot end by itself to what is only a matter of time."""
    job = facts.job
    waited = f"The job has waited {span(_age(job, endpoint.now))}. "
    for look in (why.paused, why.crash_loop):
        if found := look(endpoint):
            return Verdict(found.code, waited + found.sentence, found.advice, found.evidence)
    if job.losses:
        again = f"It is waiting for its next try: its worker was lost {plural(job.losses, 'time')}{_how(facts)}. "
        return Verdict(
            "requeued",
            f"{waited}{again}After {plural(endpoint.endpoint.retries + 1, 'loss', 'losses')} it is "
            "set aside as FAILED.",
            f"See what the worker wrote: zeroidle logs {facts.worker.id}" if facts.worker else "",
            tail(facts.log),
        )
    worker = why.starting_worker(endpoint)
    if worker is not None:
        sentence = waited + why.starting_sentence(endpoint, worker) + _ahead(facts)
        return Verdict("worker-starting", sentence, why.slow_start_advice(endpoint, worker))
    if not endpoint.live:
        return _no_worker(facts, endpoint, waited)
    ready = [w for w in endpoint.live if w.state is WorkerState.READY]
    if facts.ahead or (ready and all(w.busy for w in ready)):
        return _behind(facts, endpoint, waited)
    return Verdict("queued", f"{waited}It is next; {plural(len(ready), 'worker')} ready.")


def _ahead(facts: JobFacts) -> str:
    return f" {plural(facts.ahead, 'job')} will run before it." if facts.ahead else ""


def _no_worker(facts: JobFacts, endpoint: EndpointFacts, waited: str) -> Verdict:
    rule = endpoint.endpoint.scaler
    if facts.job.policy.low_priority and not endpoint.counts.queued:
        return Verdict(
            "low-priority",
            f"{waited}It has low priority, which starts no worker; it runs when another job has started one.",
            "Send it without policy.lowPriority, or keep a worker: workers = [1, 3].",
        )
    delay = f" The rule queue_delay adds a worker after {span(rule.value)}." if rule.kind == "queue_delay" else ""
    late = _age(facts.job, endpoint.now) > 10
    return Verdict(
        "waiting-for-capacity",
        f"{waited}No worker is there yet; {endpoint.scaling.wanted} wanted.{delay}{_ahead(facts)}",
        "The machine may have no room: see zeroidle ps, and the log of zeroidle up." if late else "",
    )


def _behind(facts: JobFacts, endpoint: EndpointFacts, waited: str) -> Verdict:
    ready = [w for w in endpoint.live if w.state is WorkerState.READY]
    means = [w.mean_run_s for w in ready if w.mean_run_s]
    slots = sum(w.concurrency for w in ready) or 1
    eta = ""
    if means:
        eta = f" At {span(sum(means) / len(means))} a job its turn comes in about "
        eta += f"{span(((facts.ahead or 0) + 1) * sum(means) / len(means) / slots)}."
    full = len(endpoint.live) >= endpoint.endpoint.max_workers
    place = f"It waits behind {plural(facts.ahead, 'job')}" if facts.ahead else "It is next"
    limit = f" (the maximum is {endpoint.endpoint.max_workers})" if full else ""
    return Verdict(
        "behind",
        f"{waited}{place}; {plural(len(ready), 'worker')} busy{limit}.{eta}",
        f"Raise the maximum of workers in [endpoint.{endpoint.endpoint.name}] to run more at a time." if full else "",
    )


def _running(facts: JobFacts, endpoint: EndpointFacts) -> Verdict:
    job, now = facts.job, endpoint.now
    ran = now - (job.started_at or now)
    limit = _limit_s(job, endpoint)
    worker = next((w for w in endpoint.live if w.id == job.worker_id), None)
    if worker is None:
        return Verdict(
            "worker-lost",
            f"The job was with worker {job.worker_id}, which is gone{_how(facts)}; it goes back to the queue when its "
            f"lease ends, in {span(job.lease_until - now)} at the latest.",
            "",
            tail(facts.log),
        )
    held = worker.jobs.get(job.id)
    if held is not None and held.missed_pings:
        return Verdict(
            "not-serialisable",
            f"Worker {worker.id} no longer names the job in its pings and sent no result: most likely the handler "
            "returned something that cannot be written as JSON.",
            "Return dicts, lists, texts, numbers, booleans or None.",
            tail(facts.log),
        )
    sentence = f"The job has run for {span(ran)} on worker {worker.id}; it ends as TIMED_OUT after {span(limit)}."
    mean = worker.mean_run_s
    if mean and ran > _SLOW * mean and ran > 1:
        return Verdict(
            "slow",
            f"{sentence} Jobs here take {span(mean)} on average.",
            f"See what it does: zeroidle logs {job.id}   End it: zeroidle cancel {job.id}",
            tail(facts.log, 5),
        )
    return Verdict("running", sentence, "", tail(facts.log, 3))


def _limit_s(job: Job, endpoint: EndpointFacts) -> float:
    ms = job.policy.execution_timeout_ms
    return endpoint.endpoint.timeout_s if ms is None else ms / 1000


def _how(facts: JobFacts) -> str:
    return f" ({facts.worker.exit})" if facts.worker and facts.worker.exit else ""


def _failed(facts: JobFacts, endpoint: EndpointFacts) -> Verdict:
    job = facts.job
    kind, message, trace = split_error(job.error)
    exit_text = facts.worker.exit if facts.worker else None
    lost = job.losses > endpoint.endpoint.retries
    words = "\n".join([message, *trace, *(facts.log if lost else ())])
    text = f"{kind}: {words}" if kind else words
    cause = recognise(endpoint.endpoint, text, exit_text) if lost else recognise_error(endpoint.endpoint, text)
    if lost:
        known = f" {cause.sentence}" if cause else ""
        return Verdict(
            "poison",
            f"Each of its {plural(job.losses, 'worker')} was lost while it ran this job{_how(facts)}; so it was set "
            f"aside.{known}",
            (cause.advice if cause else "The input most likely breaks the worker: try it alone in a terminal.")
            + f" Once that is corrected: zeroidle retry {job.id}",
            tail(facts.log) or trace,
        )
    if cause is not None:
        again = f" Then: zeroidle retry {job.id}"
        evidence = trace or tail(facts.log) or tail(message)
        return Verdict(cause.code, f"The job failed. {cause.sentence}", cause.advice + again, evidence)
    said = f"{kind}: {message}" if kind and message else message or kind or "no reason was given"
    return Verdict(
        "handler-error",
        f"The handler failed on this job after {span((job.execution_ms or 0) / 1000)}: {_line(said)}",
        f"Correct the input or the handler, then: zeroidle retry {job.id}",
        trace or tail(facts.log),
    )


def _line(text: str, limit: int = 300) -> str:
    one = " ".join(text.split())
    return one if len(one) <= limit else one[: limit - 1] + "…"


def _timed_out(facts: JobFacts, endpoint: EndpointFacts) -> Verdict:
    job = facts.job
    name = endpoint.endpoint.name
    if job.started_at is None:
        reason = why.paused(endpoint) or why.crash_loop(endpoint)
        because = f" {reason.sentence}" if reason else ""
        waited = (job.finished_at or endpoint.now) - (job.queued_at or job.created_at)
        return Verdict(
            "expired-in-queue",
            f"The job waited {span(waited)}, until its time to live was over, and no worker took it.{because}",
            reason.advice if reason else f"Allow more workers, or a longer ttl, in [endpoint.{name}] or policy.ttl.",
            reason.evidence if reason else (),
        )
    ran = (job.finished_at or endpoint.now) - job.started_at
    limit = _limit_s(job, endpoint)
    if ran + 0.5 < limit:
        return Verdict(
            "expired-while-running",
            f"The job's time to live was over while it ran ({span(ran)}); its worker was stopped.",
            f"Allow a longer ttl in [endpoint.{name}] or in the job's policy.ttl.",
            tail(facts.log),
        )
    return Verdict(
        "too-slow",
        f"The handler ran for {span(ran)}, longer than the {span(limit)} it may take; its worker was stopped.",
        f"Raise timeout in [endpoint.{name}] or the job's policy.executionTimeout, or make the handler faster. What it "
        f"wrote last: zeroidle logs {job.id}",
        tail(facts.log),
    )


def _cancelled(job: Job) -> Verdict:
    end = job.finished_at or job.created_at
    when = (
        f"after it had waited {span(end - (job.queued_at or job.created_at))} in the queue"
        if job.started_at is None
        else f"after it had run for {span(end - job.started_at)}"
    )
    return Verdict("cancelled", f"The job was cancelled by its caller {when}.")


def _completed(facts: JobFacts) -> Verdict:
    job, delivery = facts.job, facts.delivery
    done = (
        f"The job is done: it waited {span((job.delay_ms or 0) / 1000)} and ran {span((job.execution_ms or 0) / 1000)}."
    )
    if delivery is not None and delivery.state != "delivered":
        last = delivery.last_error or (f"HTTP {delivery.last_status}" if delivery.last_status else "no answer yet")
        if delivery.state == "dead":
            return Verdict(
                "webhook-dead",
                f"{done} Its webhook was not delivered in {plural(delivery.attempts, 'try', 'tries')} "
                f"and was given up: {_line(last)}.",
                f"When the receiver works again: zeroidle webhooks redeliver {delivery.id}",
            )
        if delivery.attempts:
            return Verdict(
                "webhook-pending",
                f"{done} Its webhook is not delivered yet ({delivery.attempts} tried; {_line(last)}).",
                f"It is tried again by itself. At once: zeroidle webhooks redeliver {delivery.id}",
            )
    return Verdict("healthy", done)
