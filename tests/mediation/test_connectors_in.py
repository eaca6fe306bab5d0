"""Files that come in: taken whole and once, rows counted, bad ones quarantined with reasons and replayed."""

import pytest

from mediation.connector_house import CUSTOMER_COLUMNS, ORDER_COLUMNS, Bench
from turnup.contracts.mediation import FilesRefused
from turnup.integration.mediation.model import RowState
from turnup.kernel.errors import Conflict, InvalidInput, NotFound

CSV = "KDNR;NAME;TYP;MAIL;ORT\r\n1;Jane   Roe;P;JANE@EXAMPLE.NET;Berlin\r\n2;ACME;F;;\r\n"
SEMICOLON = {"delimiter": ";"}


def customers(bench: Bench, **more: object) -> None:
    bench.publish("kunden", "customers", CUSTOMER_COLUMNS, **{"format": SEMICOLON, **more})


def test_customers_are_created_changed_and_left_alone(bench: Bench) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV)
    file = bench.one("kunden")
    assert (bench.counts(file), file.state) == ((2, 2, 0, 0), "applied")
    assert bench.peer.listing("kunden") == ["ack", "done"]
    assert bench.peer.listing("kunden/done") == ["a.csv"]
    ack = bench.peer.read("kunden/ack/a.csv.ack.csv").splitlines()
    assert (ack[0].split(";")[:2], ack[-1]) == (["H", "a.csv"], "T;2;2;0;0;0")
    jane = bench.house.mediation.internal_id("legacy", "customer", "1")
    view = bench.house.crm.customer(jane)
    assert (view.name, view.email, view.kind) == ("Jane Roe", "jane@example.net", "individual")
    # another file: one changed, one as it was, one new
    bench.peer.write("kunden/b.csv", CSV.replace("Berlin", "Bremen") + "3;New;P;;\r\n")
    file = bench.one("kunden")
    assert bench.counts(file) == (3, 2, 1, 0)
    assert bench.house.files.differences(file.id) == [(2, "city"), (4, "new")]
    moved = bench.house.crm.customer(jane)
    assert bench.house.crm.address(moved.address_id).city == "Bremen"
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 3


def test_the_same_rows_again_change_nothing_under_whatever_name(bench: Bench) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV)
    bench.run("kunden")
    before = (
        bench.scalar("SELECT count(*) FROM runtime.event"),
        bench.scalar("SELECT count(*) FROM runtime.audit"),
    )
    bench.peer.write("kunden/b.csv", CSV)
    assert bench.counts(bench.one("kunden")) == (2, 0, 2, 0)
    bench.peer.write("kunden/a.csv", CSV)  # the very same file: recognised, acknowledged and filed again
    again = bench.one("kunden")
    assert bench.counts(again) == (2, 2, 0, 0)
    assert bench.peer.listing("kunden/done") == ["a.csv", f"a.csv.{again.sha256[:8]}", "b.csv"]
    assert bench.scalar("SELECT count(*) FROM mediation.taken_file") == 2
    after = (
        bench.scalar("SELECT count(*) FROM runtime.event"),
        bench.scalar("SELECT count(*) FROM runtime.audit"),
    )
    assert after == before


def test_bad_rows_wait_with_reasons_and_are_replayed_after_the_fix(bench: Bench) -> None:
    customers(bench)
    rows = "1;Jane;P;jane@example.net;\r\n;Nobody;P;;\r\n3;Joe;X;;\r\n"
    rows += "4;=cmd();P;no mail;\r\n5;six;values;;;;\r\n"
    bench.peer.write("kunden/a.csv", f"KDNR;NAME;TYP;MAIL;ORT\r\n{rows}")
    file = bench.one("kunden")
    assert bench.counts(file) == (5, 1, 0, 4)
    waiting = bench.house.files.quarantined("kunden")
    assert [(row.row, row.field) for row in waiting] == [(3, "KDNR"), (4, "TYP"), (5, "email"), (6, "row")]
    assert all(row.reason and row.remedy for row in waiting)
    assert waiting[1].raw["NAME"] == "Joe"
    ack = bench.peer.read("kunden/ack/a.csv.ack.csv")
    assert "'=cmd()" in ack and ";=cmd()" not in ack and ack.splitlines()[-1] == "T;5;1;0;4;0"
    # mended in the document: replay as it came
    mended = [
        {**c, "values": {**c["values"], "X": "individual"}} if "values" in c else c for c in CUSTOMER_COLUMNS
    ]
    bench.publish("kunden", "customers", mended, format=SEMICOLON)
    assert bench.house.exchange.replay(waiting[1].id, "cli:anna").state is RowState.APPLIED
    # mended by hand
    fixed = {"NAME": "Jim", "MAIL": "jim@example.net"}
    assert bench.house.exchange.replay(waiting[2].id, "cli:anna", fixed).state is RowState.APPLIED
    still = bench.house.exchange.replay(waiting[0].id, "cli:anna")
    assert (still.state, still.field) == (RowState.QUARANTINED, "KDNR")
    with pytest.raises(InvalidInput, match="no column"):
        bench.house.exchange.replay(waiting[0].id, "cli:anna", {"COLOUR": "blue"})
    with bench.house.runtime.unit("mediation", "cli:anna") as unit:
        bench.house.files.discard(unit, waiting[3].id, "a line of rubbish")
    with pytest.raises(NotFound):
        bench.house.exchange.replay(waiting[3].id, "cli:anna")
    counts = bench.house.files.file(file.id).counts
    assert counts.add_up and (counts.applied, counts.quarantined, counts.discarded) == (3, 1, 1)
    bench.run("kunden")  # the counts changed: they hear of it
    assert bench.peer.read("kunden/ack/a.csv.ack.csv").splitlines()[-1] == "T;5;3;0;1;1"
    # what waits no more is not kept
    assert bench.scalar("SELECT count(*) FROM mediation.raw_row WHERE raw IS NOT NULL") == 1
    audited = "SELECT count(*) FROM runtime.audit WHERE action LIKE 'mediation.row_%' AND actor = 'cli:anna'"
    assert bench.scalar(audited) == 5
    assert "jim@" not in bench.scalar("SELECT string_agg(after::text, '') FROM runtime.audit")


def test_a_row_in_quarantine_belongs_to_its_customer_where_she_is_known(bench: Bench) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV)
    bench.run("kunden")
    bench.peer.write("kunden/b.csv", CSV.replace("JANE@EXAMPLE.NET", "no mail").replace("2;ACME", "9;ACME"))
    bench.run("kunden")
    owner = bench.scalar("SELECT owner FROM mediation.raw_row WHERE state = 'quarantined'")
    assert owner == bench.house.mediation.internal_id("legacy", "customer", "1")


def test_a_file_that_cannot_be_used_is_refused_as_a_whole(bench: Bench) -> None:
    customers(bench, format={"delimiter": ";", "trailer": "T"})
    cases = {
        "no-trailer.csv": CSV,
        "cut.csv": CSV + "T;3\r\n",
        "header.csv": CSV.replace("NAME", "NAMEN") + "T;2\r\n",
        "bytes.csv": (CSV + "T;2\r\n").replace("Jane", "J\xe4ne").encode("latin-1"),
        "nul.csv": CSV.replace("Jane", "J\0ne") + "T;2\r\n",
        "empty.csv": "",
    }
    for name, content in cases.items():
        bench.peer.write(f"kunden/{name}", content)
    report = bench.run("kunden")
    assert {file.name: file.state for file in report.files} == dict.fromkeys(cases, "refused")
    assert all(file.reason for file in report.files)
    assert bench.peer.listing("kunden/failed") == sorted(cases)
    assert "refused" in bench.peer.read("kunden/ack/cut.csv.ack.csv")
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 0
    bench.peer.write("kunden/cut.csv", CSV + "T;2\r\n")  # sent again, whole
    assert bench.counts(bench.one("kunden")) == (2, 2, 0, 0)
    bench.publish("kunden", "customers", CUSTOMER_COLUMNS, format=SEMICOLON)
    bench.peer.write("kunden/no-trailer.csv", CSV)  # the same bytes, by a document that was mended
    assert bench.one("kunden").state == "applied"


def test_what_is_still_being_uploaded_is_left_alone(bench: Bench) -> None:
    customers(bench, ready={"by": "stable", "seconds": 60})
    bench.peer.write("kunden/a.csv", CSV[:40])
    assert bench.run("kunden").waiting == ("a.csv",)
    bench.wait(seconds=61)
    bench.peer.write("kunden/a.csv", CSV)  # grew: the minute begins anew
    assert bench.run("kunden").waiting == ("a.csv",)
    bench.wait(seconds=30)
    assert bench.run("kunden").waiting == ("a.csv",)
    bench.wait(seconds=31)
    assert bench.counts(bench.one("kunden")) == (2, 2, 0, 0)


def test_a_marker_says_that_a_file_is_complete(bench: Bench) -> None:
    customers(bench, ready={"by": "marker", "suffix": ".done"}, pattern="*")
    bench.peer.write("kunden/a.csv", CSV)
    assert bench.run("kunden").waiting == ("a.csv",)
    bench.peer.write("kunden/a.csv.done", "")
    assert bench.counts(bench.one("kunden")) == (2, 2, 0, 0)
    assert bench.peer.listing("kunden/done") == ["a.csv", "a.csv.done"]


def test_names_that_leave_the_folder_are_refused_and_links_ignored(bench: Bench) -> None:
    customers(bench, pattern="*")
    bench.peer.names = ["../../etc/passwd", "..", "/etc/shadow", "a\x1b[2J.csv", "b\\c.csv"]
    (bench.peer.root / "secret").write_text("KDNR;NAME;TYP;MAIL;ORT\r\n7;Eve;P;;\r\n")
    (bench.peer.root / "kunden" / "link.csv").symlink_to(bench.peer.root / "secret")
    report = bench.run("kunden")
    assert (report.files, report.waiting) == ((), ())
    assert len(report.refused_names) == 5 and not any("\x1b" in name for name in report.refused_names)


def test_shadow_counts_and_touches_nothing(bench: Bench) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV)
    bench.run("kunden")
    customers(bench, mode="shadow")
    bench.peer.write("kunden/b.csv", CSV.replace("Berlin", "Bremen") + "3;New;P;;\r\n4;;P;;\r\n")
    file = bench.one("kunden")
    assert (file.mode, bench.counts(file)) == ("shadow", (4, 2, 1, 1))
    assert bench.house.files.differences(file.id) == [(2, "city"), (4, "new")]
    assert bench.peer.listing("kunden") == ["ack", "b.csv", "done"]
    assert bench.peer.listing("kunden/ack") == ["a.csv.ack.csv"]
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 2
    assert bench.house.files.quarantined() == []
    assert bench.scalar("SELECT count(*) FROM mediation.raw_row WHERE raw::text <> '{}'") == 0
    assert bench.run("kunden").files == ()  # counted once
    customers(bench, mode="live")  # and now in earnest
    assert bench.counts(bench.one("kunden")) == (4, 2, 1, 1)
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 3


def test_a_file_that_is_too_large_holds_up_no_other(bench: Bench) -> None:
    customers(bench, bytes_max=100)
    bench.peer.write("kunden/a.csv", CSV + "#" * 100)
    bench.peer.write("kunden/b.csv", CSV)
    with pytest.raises(FilesRefused, match="larger"):
        bench.run("kunden")
    assert [file.name for file in bench.house.files.taken("kunden")] == ["b.csv"]
    assert bench.peer.listing("kunden/done") == ["b.csv"]
    assert "a.csv" in (bench.house.connectors.view("kunden").last_error or "")


def test_another_host_key_or_password_is_refused_and_said(bench: Bench) -> None:
    customers(bench)
    with bench.house.runtime.unit("mediation", "cli:test") as unit:
        bench.house.connectors.set_credentials(unit, "kunden", password="wrong")
    with pytest.raises(FilesRefused, match="credentials"):
        bench.run("kunden")
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWy1tSTcFH0A2m2vV8sC0uBv2m5z6hXj6vH8uQ3C8kE"
    customers(bench)
    bench.peer.host_key, right = other, bench.peer.host_key
    customers(bench)
    with pytest.raises(FilesRefused, match="host key"):
        bench.run("kunden")
    assert "host key" in bench.house.connectors.view("kunden").last_error
    bench.peer.host_key = right


def test_one_at_a_time_works_on_a_connector(bench: Bench) -> None:
    customers(bench)
    bench.house.connectors.claim("kunden", "workflow:other")
    with pytest.raises(Conflict):
        bench.run("kunden")
    bench.wait(minutes=6)  # whoever it was, is gone
    bench.run("kunden")
    with bench.house.runtime.unit("mediation", "clock") as unit:
        assert bench.house.connectors.start_due(unit) == 1
        assert bench.house.connectors.start_due(unit) == 0
    assert bench.scalar("SELECT count(*) FROM dbos.workflow_status WHERE name = 'mediation.exchange'") == 1


# --- orders ----------------------------------------------------------------------------------------------

ORDERS = "id,action,customer,product,offering\n"


def orders(bench: Bench, **more: object) -> None:
    bench.publish("auftraege", "orders", ORDER_COLUMNS, **more)


@pytest.fixture
def isp(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench.take_over(tmp_path_factory.mktemp("isp"), 30)
    orders(bench)
    return bench


def external(bench: Bench) -> list[str]:
    found = bench.scalar(
        "SELECT array_agg(external_id ORDER BY external_id) FROM mediation.crosswalk WHERE kind = 'product'"
    )
    return list(found)


def test_orders_are_placed_once_however_often_they_come(isp: Bench) -> None:
    one, two = external(isp)[:2]
    rows = f"o1,add,{one},p-new,fibre-300-50\no2,delete,{two},{two},\n"
    rows += f"o3,modify,,{one},fibre-300-50\no4,delete,,nobody,\n"
    isp.peer.write("auftraege/a.csv", ORDERS + rows)
    file = isp.one("auftraege")
    assert isp.counts(file) == (4, 3, 0, 1)
    (bad,) = isp.house.files.quarantined()
    assert (bad.key, bad.field) == ("o4", "product")
    placed = "SELECT count(*) FROM orders.product_order WHERE origin = 'import'"
    assert isp.scalar(placed) == 3
    assert isp.house.mediation.internal_id("legacy", "product", "p-new") is not None
    isp.peer.write("auftraege/b.csv", ORDERS + rows)
    assert isp.counts(isp.one("auftraege")) == (4, 0, 3, 1)
    isp.peer.write(
        "auftraege/c.csv", ORDERS + f"o1,add,{two},p-new,fibre-300-50\n"
    )  # o1 means another thing now
    changed = isp.one("auftraege")
    assert isp.counts(changed) == (1, 0, 0, 1)
    isp.peer.write("auftraege/d.csv", ORDERS + f"o5,add,{two},p-new,fibre-300-50\n")  # p-new is there
    assert isp.counts(isp.one("auftraege")) == (1, 0, 0, 1)
    assert isp.scalar(placed) == 3


def test_what_files_suspend_or_cease_counts_against_the_brake(isp: Bench) -> None:
    """30 ceases by file: all are automatic, 25 pass, the rest is held for a person."""
    from turnup.bss.orders.rules import cause_of, wanted_changes
    from turnup.contracts.provisioning import CauseKind

    products = external(isp)
    actions = ["delete" if n % 2 else "suspend" for n in range(len(products))]
    rows = "".join(f"o{n},{a},,{p},\n" for n, (a, p) in enumerate(zip(actions, products, strict=True)))
    isp.peer.write("auftraege/a.csv", ORDERS + rows)
    assert isp.counts(isp.one("auftraege")) == (30, 30, 0, 0)
    passed = []
    for view in isp.house.orders.orders(limit=100):
        order = isp.house.orders.loaded(view.id)
        cause = cause_of(order)
        assert cause.automatic and cause.kind is CauseKind.IMPORT
        with isp.house.runtime.unit("provisioning", "workflow:orders.fulfil") as unit:
            passed.append(isp.house.provisioning.admit(unit, wanted_changes(order), cause))
    assert passed.count(True) == 25
    assert len(isp.house.provisioning.holds()) == 5
