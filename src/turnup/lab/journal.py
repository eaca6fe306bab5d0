"""What was plugged, cut and wanted survives a restart of the lab: the outside plant needs no electricity."""

import json
from pathlib import Path


class Journal:
    """Append-only JSON lines of plant operations; replayed at start."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._replaying = False

    def note(self, op: str, arguments: dict[str, object]) -> None:
        """Remember one operation."""
        if self._replaying:
            return
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"op": op, **arguments}) + "\n")

    def clear(self) -> None:
        """Forget everything."""
        self._file.unlink(missing_ok=True)

    def replay(self) -> list[tuple[str, dict[str, object]]]:
        """The operations to repeat, in order; plugs that were undone are left out and forgotten."""
        if not self._file.exists():
            return []
        kept: dict[tuple[str, str], tuple[str, dict[str, object]]] = {}
        for text in self._file.read_text(encoding="utf-8").splitlines():
            try:
                arguments = json.loads(text)
            except ValueError:
                continue  # a line half written when the lab was killed
            op = arguments.pop("op")
            name = str(arguments["name"])
            if op == "unplug":
                kept.pop(("plug", name), None)
                kept.pop(("set_demand", name), None)
            slot = {"restore_link": "link", "cut_link": "link"}.get(op, op)
            kept.pop((slot, name), None)
            kept[(slot, name)] = (op, arguments)
        lines = [json.dumps({"op": op, **arguments}) + "\n" for op, arguments in kept.values()]
        scratch = self._file.with_suffix(".new")
        scratch.write_text("".join(lines), encoding="utf-8")
        scratch.replace(self._file)
        return list(kept.values())

    def replaying(self, *, on: bool) -> None:
        """While on, nothing is noted."""
        self._replaying = on
