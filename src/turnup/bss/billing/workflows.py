"""Bill runs as durable work: one workflow per shard and phase, each a single exactly-once step.

The last shard of a phase starts the next phase in its own transaction, so nobody waits for anybody.
"""

from functools import partial
from uuid import UUID

from turnup.bss.billing.service.runs import DRAFT_SHARD, NUMBER_RUN, POST_SHARD, BillRuns
from turnup.kernel.ids import RunId
from turnup.runtime.durable import Run, Workflow

QUEUE = "billing"
"""Its concurrency per worker is the number of shards in memory at once."""


def draft_shard(runs: BillRuns, run: Run, run_id: str, n: str) -> None:
    run.unit("billing", "draft", runs.draft, RunId(UUID(run_id)), int(n))


def number_run(runs: BillRuns, run: Run, run_id: str) -> None:
    run.unit("billing", "number", runs.number, RunId(UUID(run_id)))


def post_shard(runs: BillRuns, run: Run, run_id: str, n: str) -> None:
    run.unit("billing", "post", runs.post, RunId(UUID(run_id)), int(n))


def workflows(runs: BillRuns) -> tuple[Workflow, ...]:
    return (
        Workflow(
            name=DRAFT_SHARD, function=partial(draft_shard, runs), queue=QUEUE, logged=("run_id", "shard")
        ),
        Workflow(name=NUMBER_RUN, function=partial(number_run, runs), queue=QUEUE, logged=("run_id",)),
        Workflow(
            name=POST_SHARD, function=partial(post_shard, runs), queue=QUEUE, logged=("run_id", "shard")
        ),
    )
