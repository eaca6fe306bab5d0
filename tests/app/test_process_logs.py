"""Logs of processes: a long one is put aside by who writes it, and no line is lost."""

import subprocess
import sys
from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from turnup.app.processes import put_aside
log, aside = Path(sys.argv[1]), 0
for n in range(100):
    print(n, "x" * 100, file=sys.stderr if n % 2 else sys.stdout, flush=True)
    if n == 50:
        aside += put_aside(log, bytes_max=1000)
        aside += put_aside(log, bytes_max=1000)
print("aside", aside, flush=True)
"""


def test_a_long_log_is_put_aside_and_every_line_is_in_one_of_them(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab") as file:
        subprocess.run([sys.executable, "-c", WRITER, str(log)], stdout=file, stderr=file, check=True)
    first, second = sorted(tmp_path.glob("worker*.log"))
    assert (first.name.startswith("worker-2"), second) == (True, log)  # the purge takes `*.log` by age
    lines = [line.split()[0] for path in (first, second) for line in path.read_text().splitlines()]
    assert lines == [*(str(n) for n in range(100)), "aside"]
    assert log.read_text().splitlines()[-1] == "aside 1"
