"""Numbers come in blocks per shard: gapless per legal entity, whatever order the shards are posted in."""

from datetime import date

from billing_house import ENTITY, Customer, House, charge

from turnup.kernel.ids import LegalEntityId, derived_id

OTHER = LegalEntityId(derived_id("legal_entity", "other"))
NUMBERS = """SELECT n.legal_entity_id, n.number, i.number FROM billing.invoice_number n
             JOIN billing.invoice i ON i.id = n.invoice_id ORDER BY i.run_id, i.shard, i.account_id"""


def test_blocks_leave_no_gap_within_and_across_runs(house: House) -> None:
    house.billing.runs._shard_accounts = 2
    for n in range(7):
        who = Customer(f"c{n}")
        entity = OTHER if n % 3 == 0 else ENTITY
        house.tell(
            who.opened(date(2026, 6, 1), legal_entity_id=entity),
            who.agreed(charge("plan", "29.90")),
            who.accepted("2026-06-01"),
        )
    for month, expected in ((7, 1), (8, 2)):
        day = date(2026, month, 1)
        house.at(f"{day}T02:00")
        with house.unit() as unit:
            run_id = house.billing.start_run(unit, day)
        for n in range(4):
            with house.unit() as unit:
                house.billing.runs.draft(unit, run_id, n)
        with house.unit() as unit:
            house.billing.runs.number(unit, run_id)
        before = house.rows("SELECT count(*) FROM billing.invoice_number")
        assert before == [(7 * (expected - 1),)], "a number is written with its document, not before"
        for n in (3, 1, 0, 2):
            with house.unit() as unit:
                house.billing.runs.post(unit, run_id, n)
        for entity, each in ((ENTITY, 4), (OTHER, 3)):
            found = [row for row in house.rows(NUMBERS) if row[0] == entity]
            assert sorted(row[1] for row in found) == list(range(1, each * expected + 1))
            assert all(printed == f"INV-{number:08d}" for _, number, printed in found)
    first_run = house.rows(
        """SELECT n.number FROM billing.invoice_number n JOIN billing.invoice i ON i.id = n.invoice_id
           WHERE i.legal_entity_id = :entity AND i.invoice_date = '2026-07-01'
           ORDER BY i.shard, i.account_id""",
        entity=ENTITY,
    )
    assert first_run == [(n,) for n in range(1, 5)], "shards take their blocks in the order of accounts"
