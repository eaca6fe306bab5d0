"""The stage of the demo: steps with their milliseconds, what the audience sees, the figures afterwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table


class DemoFailed(Exception):
    """The story did not go as it must; says what was expected and what came."""


@dataclass(slots=True)
class Step:
    name: str
    ms: float
    ok: bool


@dataclass(slots=True)
class Stage:
    """Collects what `--json` writes and shows the steps as they happen."""

    console: Console
    steps: list[Step] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    peak_rss_mb: float = 0.0

    @contextmanager
    def step(self, name: str, says: str) -> Iterator[None]:
        """One timed step; a failure is recorded and goes on up."""
        started = time.perf_counter()
        ok = False
        try:
            with self.console.status(f"{says} …"):
                yield
            ok = True
        finally:
            ms = (time.perf_counter() - started) * 1000
            self.steps.append(Step(name, round(ms, 1), ok))
            self._weigh()
            mark = "[green]✓[/]" if ok else "[red]✗[/]"
            self.console.print(f"{mark} {says} [dim]{ms:,.0f} ms[/]")

    def chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        self.console.print(f"  {text}")

    def table(self, columns: list[str], rows: list[tuple[object, ...]]) -> None:
        table = Table(*columns, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console.print(table)

    def _weigh(self) -> None:
        """Memory of everything the demo started, this process included (RSS; shared pages count twice)."""
        me = psutil.Process()
        total = 0
        for process in (me, *me.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.peak_rss_mb = max(self.peak_rss_mb, total / 1e6)

    def report(self) -> dict[str, Any]:
        return {
            **self.figures,
            "steps": [{"name": step.name, "ms": step.ms, "ok": step.ok} for step in self.steps],
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }


def expect(condition: object, what: str) -> None:
    """A promise of the story; broken, the demo fails loudly."""
    if not condition:
        raise DemoFailed(what)


def wait_until(check: Any, what: str, *, timeout_s: float = 20.0, every_s: float = 0.02) -> Any:
    """Repeat `check()` until it is true; returns its value, raises DemoFailed after the time."""
    until = time.monotonic() + timeout_s
    while not (found := check()):
        if time.monotonic() > until:
            raise DemoFailed(f"did not come true within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
    return found
