"""Nothing lost, nothing doubled: `python -m benchmarks.recovery --json -`.

Strikes a worker (or the API) at every point of an order, of its undo, of a bill run and of a payment, once
by `kill -9` and once by SIGSTOP (woken later), lets another process take over, and counts. Figures:
`kill_points` tried, `lost`, `doubled`; both must be 0; the first trial that goes wrong is
the last. `--only TEXT` tries the points that hold this text.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

from benchmarks.recovery_rig import Rig, Trial, bill_points, edge_points, order_points, undo_points
from benchmarks.report import machine, report
from turnup.kernel.ids import new_id
from turnup.runtime.settings import default_data_dir

Attempt = Callable[[str, str], Trial]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", default="-", help="- prints")
    parser.add_argument("--only", metavar="TEXT", default="", help="only points that hold this text")
    parser.add_argument("--how", choices=["kill", "stop", "both"], default="both")
    options = parser.parse_args()
    on = machine()
    ways = ["kill", "stop"] if options.how == "both" else [options.how]
    folder = default_data_dir().resolve().with_name(f"turnup-recovery-{new_id().hex[-8:]}")
    trials = []
    with Rig(folder) as rig:
        for attempt, point, how in _plan(rig, options.only, ways):
            trial = attempt(point, how)
            trials.append(trial)
            print(_line(trial), file=sys.stderr, flush=True)
            if rig.spoiled:  # what it left behind would be found again by all that follow
                break
    wrong = [trial for trial in trials if not trial.ok]
    report(
        "recovery",
        {
            "kill_points": len({trial.point for trial in trials}),
            "trials": len(trials),
            "lost": sum(bool(trial.lost) for trial in trials),
            "doubled": sum(bool(trial.doubled) for trial in trials),
            "not_tried": sum(bool(trial.problems) for trial in trials),
            "seconds": round(sum(trial.seconds for trial in trials), 1),
            "wrong": [_line(trial) for trial in wrong],
        },
        on,
        options.json,
    )
    sys.exit(1 if wrong else 0)


def _plan(rig: Rig, only: str, ways: list[str]) -> Iterator[tuple[Attempt, str, str]]:
    """Billing last: it bills what the orders before it have sold."""
    plan: list[tuple[Attempt, list[str]]] = [
        (rig.try_order, order_points()),
        (rig.try_undo, undo_points()),
        (rig.try_submission, edge_points("orders")),
    ]
    billing: list[tuple[Attempt, list[str]]] = [
        (rig.try_bill_run, bill_points()),
        (rig.try_payment, edge_points("billing")),
    ]
    yield from _wanted(plan, only, ways)
    wanted = list(_wanted(billing, only, ways))
    if wanted:
        rig.start_billing()
        yield from wanted


def _wanted(
    plan: list[tuple[Attempt, list[str]]], only: str, ways: list[str]
) -> Iterator[tuple[Attempt, str, str]]:
    for attempt, points in plan:
        yield from ((attempt, point, how) for point in points if only in point for how in ways)


def _line(trial: Trial) -> str:
    found = "; ".join((*trial.lost, *trial.doubled, *trial.problems)) or "ok"
    return f"{trial.how} {trial.point} ({trial.seconds} s): {found}"


if __name__ == "__main__":
    main()
