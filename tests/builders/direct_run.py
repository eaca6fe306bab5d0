"""A durable workflow without its engine: each step is done here and now, nothing is kept."""

from typing import Any

from turnup.runtime.component import Runtime


class DirectRun:
    """Takes a saga's steps at once, without a worker."""

    id = "direct"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.slept: list[float] = []

    def unit(self, component: str, name: str, function: Any, *args: Any) -> Any:
        with self._runtime.unit(component, "workflow:test") as unit:
            return function(unit, *args)

    def world(self, name: str, function: Any, *args: Any, **more: Any) -> Any:
        return function(*args, **more)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
