"""GET /metrics, read by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.plane import GatewayPlane, endpoint, running
from zeroidle.gateway.exposition import Histogram, family, histograms


def scrape(plane: GatewayPlane) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels to value."""
    answer = plane.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for metric in text_string_to_metric_families(answer.body.decode()):
        assert metric.documentation.endswith(".")
        for sample in metric.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(found: Any, name: str, **labels: str) -> float:
    """One sample."""
    return float(found[name, frozenset(labels.items())])


def test_jobs_are_counted_and_timed(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        for _ in range(3):
            assert plane.call("POST", "/v2/echo/runsync", {"input": 1}).json["status"] == "COMPLETED"
        assert plane.call("POST", "/v2/echo/runsync", {"input": {"fail": "so"}}).json["status"] == "FAILED"
        plane.call("POST", "/v2/idle/run", {"input": 1})
        plane.call("POST", "/v2/idle/run", {"input": 1, "policy": {"lowPriority": True}})
        found = scrape(plane)
    assert value(found, "zeroidle_jobs_submitted_total", endpoint="echo") == 4
    assert value(found, "zeroidle_jobs_taken_total", endpoint="echo") == 4
    assert value(found, "zeroidle_jobs_ended_total", endpoint="echo", status="COMPLETED") == 3
    assert value(found, "zeroidle_jobs_ended_total", endpoint="echo", status="FAILED") == 1
    assert value(found, "zeroidle_jobs", endpoint="idle", state="queued") == 1
    assert value(found, "zeroidle_jobs", endpoint="idle", state="queued_low") == 1
    assert value(found, "zeroidle_jobs", endpoint="echo", state="queued") == 0
    assert value(found, "zeroidle_oldest_queued_seconds", endpoint="idle") > 0
    assert value(found, "zeroidle_oldest_queued_seconds", endpoint="echo") == 0
    for name in ("zeroidle_queue_delay_seconds", "zeroidle_execution_seconds"):
        assert value(found, f"{name}_count", endpoint="echo") == 4
        assert value(found, f"{name}_bucket", endpoint="echo", le="+Inf") == 4
        assert 0 <= value(found, f"{name}_sum", endpoint="echo") < 60


def test_workers_and_the_plane_itself_are_shown(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        found = scrape(plane)
    assert value(found, "zeroidle_workers", endpoint="echo", state="idle") == 1
    assert value(found, "zeroidle_workers", endpoint="idle", state="idle") == 0
    assert value(found, "zeroidle_worker_starts_total", endpoint="echo") == 1
    assert value(found, "zeroidle_worker_start_seconds_count", endpoint="echo") == 1
    assert value(found, "process_cpu_seconds_total") > 0
    assert value(found, "process_resident_memory_bytes") > 1_000_000
    assert any(name == "zeroidle_store_bytes" for name, _ in found)


def test_only_get_of_metrics(plane: GatewayPlane) -> None:
    assert plane.call("POST", "/metrics").status == 405
    assert plane.call("GET", "/metrics/x").status == 404


def test_a_label_may_hold_anything(tmp_path: Path) -> None:
    name = 'a"b\\c\nd'
    text = family("gauge", "x", "An x.", [({"endpoint": name}, 1.5)])
    (metric,) = text_string_to_metric_families(text)
    assert [(s.labels, s.value) for s in metric.samples] == [({"endpoint": name}, 1.5)]
    with running(tmp_path, endpoints={"echo": endpoint("echo"), name: endpoint(name)}) as plane:
        assert value(scrape(plane), "zeroidle_jobs", endpoint=name, state="queued") == 0


def test_buckets_count_what_is_not_above_them() -> None:
    histogram = Histogram((1.0, 2.5))
    histogram.observe((0.0, 1.0, 1.1, 2.5, 99.0))
    (metric,) = text_string_to_metric_families(histograms("t_seconds", "T.", [({}, histogram)]))
    found = {(s.name, s.labels.get("le")): s.value for s in metric.samples}
    assert found == {
        ("t_seconds_bucket", "1"): 2,
        ("t_seconds_bucket", "2.5"): 4,
        ("t_seconds_bucket", "+Inf"): 5,
        ("t_seconds_sum", None): 103.6,
        ("t_seconds_count", None): 5,
    }
