"""The table of commands: where each one is and what it does, so that help needs no import of them."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`target` is "module:function"; the function adds its arguments to a parser and sets `run` as its default:
    a function of the parsed arguments that answers the exit status."""

    target: str
    summary: str
    group: str


SERVE, ASK, OPERATE = "Serve", "Use", "Look after"

COMMANDS: dict[str, Command] = {
    "init": Command("zeroidle.cli.init:add_init", "Write a new project, or a copy of a recipe.", SERVE),
    "up": Command("zeroidle.cli.up:add_up", "Serve handlers, recipes or a project until Ctrl-C.", SERVE),
    "stop": Command("zeroidle.cli.stop:add_stop", "Stop a running plane; its jobs are kept.", SERVE),
    "run": Command("zeroidle.cli.run:add_run", "Send one job, show progress and output, save its files.", ASK),
    "batch": Command("zeroidle.cli.batch:add_batch", "Send a file of inputs, write the results in its order.", ASK),
    "test": Command("zeroidle.cli.examples:add_test", "Send the project's examples and check the answers.", ASK),
    "bench": Command("zeroidle.cli.bench:add_bench", "Measure cold starts, or the load an endpoint carries.", ASK),
    "cancel": Command("zeroidle.cli.jobs:add_cancel", "Cancel a job.", ASK),
    "retry": Command("zeroidle.cli.jobs:add_retry", "Put a failed job back in the queue.", ASK),
    "purge": Command("zeroidle.cli.jobs:add_purge", "Cancel all waiting jobs of an endpoint.", ASK),
    "ps": Command("zeroidle.cli.ps:add_ps", "List endpoints, their queues and their workers.", OPERATE),
    "jobs": Command("zeroidle.cli.jobs:add_jobs", "List jobs, newest first.", OPERATE),
    "logs": Command("zeroidle.cli.logs:add_logs", "Show or follow what a worker, job or endpoint wrote.", OPERATE),
    "why": Command("zeroidle.cli.why:add_why", "Say in words why a job or an endpoint is as it is.", OPERATE),
    "timeline": Command("zeroidle.cli.why:add_timeline", "Show where a job's time went.", OPERATE),
    "plan": Command("zeroidle.cli.plan:add_plan", "Show what moving weights onto a volume changes and costs.", OPERATE),
    "volume": Command("zeroidle.cli.volume:add_volume", "Fetch, check, list and clear away model files.", OPERATE),
    "webhooks": Command("zeroidle.cli.webhooks:add_webhooks", "List webhook deliveries, deliver again.", OPERATE),
    "keys": Command("zeroidle.cli.keys:add_keys", "Make, list and revoke API keys.", OPERATE),
}
