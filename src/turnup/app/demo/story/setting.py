"""The stage is set, and a small ISP is loaded from files."""

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.progress import Progress

from turnup.app.demo.stage import expect, wait_until
from turnup.app.demo.stand import examples
from turnup.app.demo.story.scene import ZONE, Scene, first_of_next_month
from turnup.app.demo.world import SYSTEM, seed_network, write_isp
from turnup.kernel.clock import business_date
from turnup.runtime.observability import configure_logging


def start_everything(scene: Scene) -> None:
    stage, stand = scene.stage, scene.stand
    stage.chapter("Setting up")
    configure_logging("console", "error", process="demo")
    with stage.step("start_database", "Embedded PostgreSQL starts"):
        stand.start_database()
    with stage.step("start_lab", "The virtual network starts: a BNG, two OLTs, an AAA server"):
        stand.start_lab()
    start = _third_of_next_month(scene.house.runtime.clock.now())
    stand.pass_time(start - scene.house.runtime.clock.now())
    today = business_date(start, ZONE)
    write_isp(scene.isp, examples() / "isp", stand.lab_process.endpoints, scene.customers, today)
    with stage.step("start_processes", "API, worker and collector start"):
        stand.start_processes()
    stage.say(f"The clock of this demo is moved; it starts on {today:%d %B %Y}.")


def load_the_isp(scene: Scene) -> None:
    stage, house = scene.stage, scene.house
    stage.chapter("1. A small ISP, loaded from files")
    with stage.step("seed_network", f"{len(scene.customers)} customers run already, set up by an old system"):
        seed_network(scene.stand.lab, scene.stand.engine.aaa_url, scene.customers)
        wait_until(lambda: _online_count(scene) == len(scene.customers), "the old customers are online")
    before = _lab_configurations(scene)
    importer = house.importer
    with stage.step("import_documents", "turnup import: catalog, policies, network"):
        importer.load_catalog(scene.isp / "catalog.yaml")
        importer.load_policies(scene.isp / "policies.yaml")
        importer.load_network(scene.isp / "network.yaml")
    with stage.step("import_dry_run", "turnup import customers.csv --dry-run"):
        rehearsal = importer.take_over_customers(scene.isp / "customers.csv", system=SYSTEM, dry_run=True)
        expect(not rehearsal.quarantined, f"dry run: {rehearsal.quarantined[:1]}")
    with (
        stage.step("import_customers", "turnup import customers.csv"),
        Progress(console=stage.console, transient=True) as progress,
    ):
        bar = progress.add_task("customers", total=len(scene.customers))
        report = importer.take_over_customers(
            scene.isp / "customers.csv",
            system=SYSTEM,
            progress=lambda done, _of: progress.update(bar, completed=done),
        )
    expect(not report.quarantined, f"quarantined: {report.quarantined[:1]}")
    expect(report.applied == len(scene.customers), f"{report.applied} applied")
    expect(before == _lab_configurations(scene), "taking over must not touch a device")
    with stage.step("settle", "Events reach every component"):
        scene.stand.settle()
    stage.say(
        f"read {report.read} = applied {report.applied} + unchanged {report.unchanged} + "
        f"quarantined {len(report.quarantined)}; no device was touched"
    )


def _online_count(scene: Scene) -> int:
    return len(scene.stand.lab.sessions())


def _lab_configurations(scene: Scene) -> Mapping[str, str]:
    return {device: scene.stand.lab.running(device=device) for device in ("olt1", "olt2", "bng1")}


def _third_of_next_month(now: datetime) -> datetime:
    first = first_of_next_month(now.date())
    return datetime(first.year, first.month, 3, 9, tzinfo=UTC)
