"""The chain shows every way of tampering, and names link and entry."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.kernel.audit_chain import (
    GENESIS,
    Anchor,
    Breach,
    Checker,
    Checkpoint,
    Link,
    SealedEntry,
    checkpoint_mac,
    link_hash,
    link_mac,
    parse_anchors,
    sealed,
)
from turnup.kernel.errors import InvalidInput

KEY, KEYS = b"k" * 32, {"aa": b"k" * 32}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

Chain = list[tuple[Link, dict[int, SealedEntry]]]


def entry(number: int, after: object = None) -> SealedEntry:
    return SealedEntry(
        id=number,
        at=NOON + timedelta(seconds=number),
        component="crm",
        actor="staff:anna",
        action="crm.open_customer",
        subject=f"customer {number}",
        before=None,
        after=after,
    )


def chain(*batches: list[int]) -> Chain:
    head, found = Anchor(0, GENESIS), []
    for batch in batches:
        entries = [entry(n) for n in batch]
        at = max(e.at for e in entries) + timedelta(seconds=5)
        link = sealed(head, at, entries, "aa", KEY)
        found.append((link, {e.id: e for e in entries}))
        head = Anchor(link.n, link.hash)
    return found


def breaches(
    links: Chain, *, start: Checkpoint | None = None, anchors: tuple[Anchor, ...] = ()
) -> list[tuple[Breach, int, int | None]]:
    checker = Checker(start, KEYS.get, anchors)
    for link, present in links:
        checker.take(link, present)
    checker.finish()
    return [(b.breach, b.link, b.entry) for b in checker.broken]


WHOLE = chain([1, 2, 4], [3, 5], [6])


def test_a_whole_chain_is_whole_whatever_the_order_of_commits() -> None:
    assert breaches(WHOLE) == []
    assert breaches(WHOLE, anchors=tuple(Anchor(link.n, link.hash) for link, _ in WHOLE)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "staff:bert"},
        {"after": {"x": 1}},
        {"before": []},
        {"subject": "x"},
        {"at": NOON},
        {"action": "y"},
        {"component": "z"},
    ],
)
def test_a_changed_entry_is_named(change: dict[str, object]) -> None:
    (one, two, three) = chain([1], [2, 3], [4])
    two[1][3] = replace(two[1][3], **change)  # type: ignore[arg-type]
    assert breaches([one, two, three]) == [(Breach.ENTRY_CHANGED, 2, 3)]


def test_missing_inserted_and_backdated_entries_are_named() -> None:
    one, two, three = chain([1], [2, 3], [10_000])
    del two[1][2]
    three[1][7] = entry(7)
    assert breaches([one, two, three]) == [(Breach.ENTRY_MISSING, 2, 2), (Breach.ENTRY_INSERTED, 3, 7)]
    early = replace(entry(20_000), at=NOON - timedelta(days=1))
    last = sealed(Anchor(three[0].n, three[0].hash), NOON + timedelta(hours=6), [early], "aa", KEY)
    assert (Breach.ENTRY_BACKDATED, 4, early.id) in breaches(
        [*chain([1], [2, 3], [10_000]), (last, {early.id: early})]
    )


def test_a_missing_link_is_named() -> None:
    assert breaches([WHOLE[0], WHOLE[2]]) == [(Breach.LINK_MISSING, 2, None)]
    assert breaches(WHOLE[1:]) == [(Breach.LINK_MISSING, 1, None)]


def test_what_was_cut_off_at_the_end_is_known_to_an_anchor_alone() -> None:
    assert breaches(WHOLE[:2]) == []
    head = Anchor(WHOLE[2][0].n, WHOLE[2][0].hash)
    assert breaches(WHOLE[:2], anchors=(head,)) == [(Breach.LINK_MISSING, 3, None)]


def test_who_computes_the_chain_anew_lacks_the_key() -> None:
    forged: Chain = []
    head = Anchor(0, GENESIS)
    for number, (_, present) in enumerate(WHOLE):
        entries = list(present.values())
        if number == 1:
            entries[0] = replace(entries[0], actor="staff:nobody")
        link = sealed(head, WHOLE[number][0].sealed_at, entries, "aa", b"guess" * 7)
        forged.append((link, {e.id: e for e in entries}))
        head = Anchor(link.n, link.hash)
    assert breaches(forged) == [(Breach.LINK_FORGED, n, None) for n in (1, 2, 3)]
    anchor = Anchor(WHOLE[2][0].n, WHOLE[2][0].hash)
    assert (Breach.ANCHOR_DIFFERS, 3, None) in breaches(forged, anchors=(anchor,))


def test_a_link_that_was_touched_is_named_and_a_key_that_is_gone_said() -> None:
    one, two, three = WHOLE
    later = replace(two[0], sealed_at=two[0].sealed_at + timedelta(seconds=1))
    assert breaches([one, (later, two[1]), three]) == [(Breach.LINK_CHANGED, 2, None)]
    assert breaches([one, (replace(two[0], key_id="bb"), two[1]), three]) == [(Breach.KEY_MISSING, 2, None)]


def test_the_chain_goes_on_behind_a_checkpoint_and_a_links_mac_is_none() -> None:
    first = WHOLE[0][0]
    mac = checkpoint_mac(KEY, first.n, first.hash)
    start = Checkpoint(n=1, hash=first.hash, key_id="aa", mac=mac)
    assert breaches(WHOLE[1:], start=start) == []
    forged = replace(start, mac=link_mac(KEY, first.n, first.hash))
    assert breaches(WHOLE[1:], start=forged) == [(Breach.LINK_FORGED, 1, None)]


def test_anchors_are_read_as_they_are_printed() -> None:
    anchor = Anchor(3, WHOLE[2][0].hash)
    assert parse_anchors(f"\n{anchor}\n") == [anchor]
    for bad in ("3", "x:00", "3:00", "3:zz"):
        with pytest.raises(InvalidInput, match="no anchor"):
            parse_anchors(bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda e: st.lists(e) | st.dictionaries(st.text(), e),
)


@given(st.lists(st.lists(JSON, min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_no_digest_of_the_chain_can_change_unseen(batches: list[list[object]], data: st.DataObject) -> None:
    head, links, number = Anchor(0, GENESIS), [], 0
    for batch in batches:
        entries = []
        for after in batch:
            number += 1
            entries.append(entry(number, after))
        link = sealed(head, entries[-1].at, entries, "aa", KEY)
        links.append((link, {e.id: e for e in entries}))
        head = Anchor(link.n, link.hash)
    assert breaches(links) == []
    at = data.draw(st.integers(0, len(links) - 1))
    link, present = links[at]
    bound = list(link.entries)
    which = data.draw(st.integers(0, len(bound) - 1))
    bound[which] = (bound[which][0], bytes(32))
    mended = link_hash(link.n, link.previous, link.sealed_at, bound)
    links[at] = (replace(link, entries=tuple(bound), hash=mended), present)
    assert (Breach.LINK_FORGED, link.n, None) in breaches(links)
