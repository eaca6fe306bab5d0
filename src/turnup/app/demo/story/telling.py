"""The demo's story: an order becomes a live service, a fault becomes a credit, both become a bill.

Orders go through the public HTTP API; the network is the lab's, over its real protocols. Where time passes,
the clocks of Turnup and of the lab are moved, and the demo says so. Every promise is checked: the demo fails
loudly rather than tell a story that did not happen.
"""

import json
import signal
import threading
from pathlib import Path

from rich.console import Console

from turnup.app.demo.stage import DemoFailed, Stage
from turnup.app.demo.stand import Stand
from turnup.app.demo.story import bill, dunning, fault, order, reconciliation, setting
from turnup.app.demo.story.scene import Scene
from turnup.app.demo.world import old_customers
from turnup.lab.client import LabError
from turnup.runtime.settings import default_data_dir


def run_demo(*, once: bool, json_file: Path | None, customers: int) -> bool:
    """Tell the story; True if every promise held."""
    stage = Stage(Console(highlight=False))
    stage.console.print(
        "[bold]Turnup demo[/]: an order becomes a live service, a fault a credit, both a bill."
    )
    ok = False
    with Stand(default_data_dir().resolve().with_name("turnup-demo")) as stand:
        try:
            scene = Scene(stage, stand, old_customers(customers))
            tell(scene)
            ok = True
        except (DemoFailed, LabError) as error:
            stand.keep = True
            stage.console.print(f"\n[red]The story broke:[/] {error}")
            stage.say(f"logs and data are kept in {stand.data_dir} until the next demo")
        finally:
            if json_file is not None:
                json_file.write_text(json.dumps({"ok": ok, **stage.report()}, indent=2), encoding="utf-8")
                stage.say(f"figures written to {json_file}")
        if ok and not once:
            stay(scene)
    return ok


def tell(scene: Scene) -> None:
    for chapter in (
        setting.start_everything,
        setting.load_the_isp,
        order.sell,
        order.come_online,
        order.upgrade,
        fault.fail_and_recover,
        bill.close_the_month,
        dunning.remind_suspend_restore,
        reconciliation.reconcile,
    ):
        chapter(scene)


def stay(scene: Scene) -> None:
    scene.stage.chapter("8. It stays up")
    scene.stage.say(f"API:   {scene.stand.api.base_url}/docs")
    scene.stage.say(f"token: {scene.stand.token}   (Authorization: Bearer …)")
    scene.stage.say(
        f"CLI:   TURNUP_DATA_DIR={scene.stand.data_dir} TURNUP_SIMULATED_CLOCK=true turnup order list"
    )
    scene.stage.say("Ctrl-C ends it and cleans up.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        pass
