"""The event classes by name: the real ones, whatever the garbage collector has got round to."""

import subprocess
import sys

_EARLY = """
import gc
gc.disable()
from turnup.contracts import provisioning
from turnup.runtime.events import event_types
assert event_types()["provisioning.ServiceAccepted"] is provisioning.ServiceAccepted
"""


def test_first_drafts_of_slotted_classes_are_not_events() -> None:
    done = subprocess.run([sys.executable, "-c", _EARLY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
