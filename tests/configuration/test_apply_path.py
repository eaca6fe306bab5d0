"""The one apply path against an element that holds state and misbehaves: nothing is proved that is not so."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from configuration.conftest import OLT, Element, Elements, fragment, service
from turnup.contracts.configuration import Credentials
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import ElementId, new_id
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import ApplyPath
from turnup.runtime.component import Runtime
from turnup.runtime.database import OutsideIoInTransaction


def applied(path: ApplyPath, *numbers: int, deadline_s: float = 5) -> Any:
    outcomes = path.apply(OLT.id, [service(n) for n in numbers], deadline_s=deadline_s)
    return outcomes[service(numbers[0])] if len(numbers) == 1 else outcomes


def test_once_and_again(path: ApplyPath, element: Element, intend: Callable[..., bool]) -> None:
    intend(fragment(1, secret="hush"))
    first = applied(path, 1)
    assert (first.changed, first.verified, first.error) == (True, True, None)
    assert element.holds[service(1)].attributes == {"port": "pon-0/1/1", "secret": "hush"}
    second = applied(path, 1)
    assert (second.changed, second.verified, len(element.transactions)) == (False, True, 1)


def test_secrets_are_sealed_at_rest_and_masked_in_differences(
    runtime: Runtime, configuration: Configuration, intend: Callable[..., bool]
) -> None:
    intend(fragment(1, secret="hush-hush"))
    with runtime.database.engine.connect() as connection:
        stored = str(connection.execute(text("SELECT * FROM configuration.intent")).all())
        credential = connection.scalar(text("SELECT sealed FROM configuration.credential"))
    assert "hush-hush" not in stored
    assert b"hush" not in bytes(credential)
    assert "hush-hush" not in str(configuration.differences(OLT.id))
    assert configuration.credentials(OLT.id).password == "hush"
    assert "hush" not in repr(configuration.credentials(OLT.id))


def test_what_should_go_goes(
    runtime: Runtime, path: ApplyPath, configuration: Configuration, element: Element, intend: Any
) -> None:
    intend(fragment(1), fragment(2))
    applied(path, 1, 2)
    with runtime.unit("configuration", "test") as unit:
        assert configuration.withdraw(unit, OLT.id, service(1), 2)
        assert not configuration.withdraw(unit, OLT.id, service(1), 2)
        assert not configuration.withdraw(unit, OLT.id, service(9), 1)
    assert applied(path, 1).verified
    assert set(element.holds) == {service(2)}
    assert set(configuration.intended(OLT.id)) == {service(2)}


def test_an_older_intent_changes_nothing(intend: Any, configuration: Configuration) -> None:
    assert intend(fragment(1, generation=3))
    assert not intend(fragment(1, generation=3))
    assert not intend(fragment(1, generation=2, port="pon-9"))
    assert intend(fragment(1, generation=4))
    assert configuration.intended(OLT.id)[service(1)].generation == 4


def test_a_late_worker_does_not_undo_newer_work(path: ApplyPath, element: Element, intend: Any) -> None:
    element.holds[service(1)] = fragment(1, generation=5)
    intend(fragment(1, generation=4, port="pon-old"))
    outcome = applied(path, 1)
    assert (outcome.verified, outcome.transient, element.transactions) == (False, False, [])
    assert "newer" in outcome.error


@pytest.mark.parametrize("trouble", ["lost", "half"])
def test_what_half_happened_is_not_proved_and_the_next_try_ends_it(
    path: ApplyPath, element: Element, intend: Any, trouble: str
) -> None:
    intend(fragment(1), fragment(2))
    element.trouble = [trouble]
    outcomes = applied(path, 1, 2)
    assert not all(outcome.verified for outcome in outcomes.values())
    assert all(outcome.transient for outcome in outcomes.values() if not outcome.verified)
    again = applied(path, 1, 2)
    assert all(outcome.verified for outcome in again.values())
    assert set(element.holds) == {service(1), service(2)}


def test_a_stale_read_back_is_no_proof(path: ApplyPath, element: Element, intend: Any) -> None:
    intend(fragment(1))
    element.stale_reads = 1
    first = applied(path, 1)
    assert (first.verified, first.transient) == (False, True)
    assert first.error == "read back differs: missing"
    second = applied(path, 1)
    assert (second.verified, second.changed, len(element.transactions)) == (True, False, 1)


def test_an_element_that_is_away_is_worth_another_try(path: ApplyPath, element: Element, intend: Any) -> None:
    intend(fragment(1))
    element.trouble = ["away"]
    first = applied(path, 1)
    assert (first.verified, first.transient, element.transactions) == (False, True, [])
    assert applied(path, 1).verified


def test_one_bad_service_does_not_fail_the_others(path: ApplyPath, element: Element, intend: Any) -> None:
    intend(*(fragment(n) for n in range(4)))
    element.refused = {service(2)}
    outcomes = applied(path, 0, 1, 2, 3)
    assert {n for n in range(4) if outcomes[service(n)].verified} == {0, 1, 3}
    bad = outcomes[service(2)]
    assert (bad.transient, str(service(2)) in bad.error) == (False, True)


def test_calls_that_wait_together_are_applied_together(
    path: ApplyPath, element: Element, intend: Any
) -> None:
    """While the first transaction runs, the others gather; they go in one (or a few), not one by one."""
    intend(*(fragment(n) for n in range(20)))
    element.slow_s = 0.3
    with ThreadPoolExecutor(20) as threads:
        futures = [threads.submit(applied, path, n, deadline_s=20) for n in range(20)]
        outcomes = [future.result(timeout=60) for future in futures]
    assert all(outcome.verified and outcome.changed for outcome in outcomes)
    assert sorted(s for transaction in element.transactions for s in transaction) == sorted(
        service(n) for n in range(20)
    )
    assert len(element.transactions) < 20
    assert element.most_at_work == 1


def test_two_processes_never_configure_one_element_at_once(
    runtime: Runtime, path: ApplyPath, configuration: Configuration, element: Element, intend: Any
) -> None:
    intend(*(fragment(n) for n in range(6)))
    other = ApplyPath(configuration)
    element.slow_s = 0.05
    with ThreadPoolExecutor(6) as threads:
        futures = [threads.submit(applied, (path, other)[n % 2], n, deadline_s=20) for n in range(6)]
        assert all(future.result(timeout=60).verified for future in futures)
    assert element.most_at_work == 1


def test_a_worker_that_was_taken_over_holds_no_element(
    path: ApplyPath, configuration: Configuration, intend: Any
) -> None:
    intend(fragment(1))
    assert configuration.take_lease(OLT.id, "worker-1/a", 60) is not None
    configuration.worker_gone("worker-2")
    configuration.worker_gone("worker")
    assert not applied(path, 1, deadline_s=0.1).verified
    configuration.worker_gone("worker-1")
    assert applied(path, 1).verified


def test_a_held_lease_keeps_out_until_it_expires(
    path: ApplyPath, configuration: Configuration, intend: Any
) -> None:
    intend(fragment(1))
    lease = configuration.take_lease(OLT.id, "another", 60)
    assert lease is not None
    assert configuration.take_lease(OLT.id, "third", 60) is None
    refused = applied(path, 1, deadline_s=0.2)
    assert (refused.verified, refused.transient) == (False, True)
    assert "another process" in refused.error
    configuration.give_lease_back(lease, changed=False)
    dead = configuration.take_lease(OLT.id, "dead", 0)
    assert dead is not None
    assert applied(path, 1).verified  # a dead holder blocks nobody
    configuration.give_lease_back(dead, changed=True)  # and its late return frees nothing of ours
    live = configuration.take_lease(OLT.id, "live", 60)
    assert live is not None
    configuration.give_lease_back(dead, changed=False)
    assert configuration.take_lease(OLT.id, "third", 60) is None


def test_the_network_is_never_spoken_to_inside_a_transaction(
    runtime: Runtime, path: ApplyPath, intend: Any
) -> None:
    intend(fragment(1))
    with pytest.raises(OutsideIoInTransaction), runtime.unit("configuration", "test"):
        applied(path, 1)


def test_a_backup_only_when_something_differs(
    runtime: Runtime, path: ApplyPath, configuration: Configuration, intend: Any
) -> None:
    intend(fragment(1))
    applied(path, 1)
    assert path.backup_changed() == 1
    assert path.backup_changed() == 0
    assert path.backup(OLT.id, "by hand").revision == 1
    intend(fragment(2))
    runtime.clock.advance(timedelta(seconds=1))
    applied(path, 2)
    assert path.backup_changed() == 1
    assert [backup.revision for backup in configuration.backups(OLT.id)] == [2, 1]
    diff = configuration.backup_diff(OLT.id, 1, 2)
    assert f"+service {service(2)}" in diff
    assert "hush" not in configuration.backup_text(OLT.id, 2)  # type: ignore[operator]
    with pytest.raises(NotFound):
        configuration.backup_diff(OLT.id, 1, 9)


def test_an_element_changed_while_it_was_backed_up_is_backed_up_again(
    runtime: Runtime, path: ApplyPath, configuration: Configuration, element: Element, intend: Any
) -> None:
    intend(fragment(1), fragment(2))
    applied(path, 1)
    read = element.running_config

    def interrupted(*args: Any, **more: Any) -> str:
        config = read(*args, **more)
        runtime.clock.advance(timedelta(seconds=1))
        element.running_config = read  # type: ignore[method-assign]
        applied(path, 2)
        runtime.clock.advance(timedelta(seconds=1))
        return config

    element.running_config = interrupted  # type: ignore[method-assign]
    path.backup_changed()
    path.backup_changed()
    newest = configuration.backups(OLT.id)[0]
    assert str(service(2)) in (configuration.backup_text(OLT.id, newest.revision) or "")


def test_a_rollback_is_proved_by_reading(path: ApplyPath, element: Element, intend: Any) -> None:
    intend(fragment(1), fragment(2))
    applied(path, 1)
    path.backup(OLT.id, "before")
    applied(path, 2)
    element.trouble = ["deaf"]
    failed = path.rollback(OLT.id, 1)
    assert (failed.verified, bool(failed.error)) == (False, True)
    element.trouble = []
    done = path.rollback(OLT.id, 1)
    assert (done.verified, done.error, set(element.holds)) == (True, None, {service(1)})
    with pytest.raises(NotFound):
        path.rollback(OLT.id, 7)


def test_unknown_elements_and_missing_credentials_are_said(
    runtime: Runtime, path: ApplyPath, configuration: Configuration, intend: Any
) -> None:
    nowhere = ElementId(new_id())
    outcome = path.apply(nowhere, [service(1)], deadline_s=1)[service(1)]
    assert (outcome.verified, outcome.transient) == (False, False)
    assert Elements().element(nowhere) is None
    with runtime.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM configuration.credential"))
    intend(fragment(1))
    refused = applied(path, 1)
    assert (refused.verified, "credentials" in refused.error) == (False, True)
    with runtime.unit("configuration", "test") as unit:
        configuration.set_credentials(unit, OLT.id, Credentials(username="a", password="b"))
    assert applied(path, 1).verified
