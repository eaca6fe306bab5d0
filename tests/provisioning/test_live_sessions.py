"""Aligning a live session with its service: CoA, else Disconnect, and always the NAS's own word after it."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from provisioning.conftest import SERVICE
from turnup.contracts.provisioning import Admission, LiveSession
from turnup.kernel.errors import Unavailable
from turnup.oss.provisioning.model import Service
from turnup.oss.provisioning.workflows import NetworkRealiser

NAS = "bng1"
OLD = LiveSession(down_kbps=50_000, up_kbps=20_000, walled=False)
NEW = LiveSession(down_kbps=100_000, up_kbps=20_000, walled=False)


@dataclass
class Nas:
    """contracts.provisioning.AaaGateway over sessions that change as they are told, unless it misbehaves."""

    sessions: dict[str, LiveSession]
    knows_coa: bool = True
    obeys_coa: bool = True
    obeys_disconnect: bool = True
    returns_as: LiveSession | None = None
    """What a disconnected subscriber gets when she dials in again; None: she stays away."""
    reports: bool = True
    """Whether it can be asked."""
    deaf_to: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def _hear(self, nas: str, what: str) -> None:
        assert nas == NAS
        self.told.append(what)
        if what in self.deaf_to:
            raise Unavailable(f"{nas} did not answer")

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        self._hear(nas, "coa")
        if not self.knows_coa or username not in self.sessions:
            return False
        if self.obeys_coa:
            self.sessions[username] = wanted
        return True

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        self._hear(nas, "disconnect")
        if not self.obeys_disconnect or username not in self.sessions:
            return False
        del self.sessions[username]
        if self.returns_as is not None:
            self.sessions[username] = self.returns_as
        return True

    def reports_sessions(self, nas: str) -> bool:
        assert nas == NAS
        return self.reports

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        self._hear(nas, "ask")
        return self.sessions.get(username)


def align(nas: Nas, service: Service = SERVICE) -> tuple[int, int] | None:
    nothing: Any = None
    path: Any = SimpleNamespace(writing=lambda element_id, deadline_s: nullcontext())
    element: Any = SimpleNamespace(id=NAS, code=NAS)
    realiser = NetworkRealiser(nothing, nothing, nothing, nothing, path, nothing, nas, nothing)
    return realiser._align_session(service, element, 1.0)


CEASED = replace(SERVICE, admission=Admission.NONE)


def test_nobody_online_is_left_alone() -> None:
    nas = Nas({})
    assert (align(nas), nas.told) == (None, ["ask"])


def test_a_session_that_is_right_already_is_left_alone() -> None:
    nas = Nas({SERVICE.login: NEW})
    assert (align(nas), nas.told) == ((100_000, 20_000), ["ask"])


@pytest.mark.parametrize(
    ("service", "after"),
    [(SERVICE, NEW), (replace(SERVICE, admission=Admission.WALLED), replace(NEW, walled=True))],
)
def test_a_session_is_changed_by_coa_and_read_back(service: Service, after: LiveSession) -> None:
    nas = Nas({SERVICE.login: OLD})
    assert align(nas, service) == (100_000, 20_000)
    assert (nas.sessions, nas.told) == ({SERVICE.login: after}, ["ask", "coa", "ask"])


def test_an_acknowledged_coa_that_changed_nothing_is_trouble() -> None:
    with pytest.raises(Unavailable, match=r"should be .*100000.* and is .*50000"):
        align(Nas({SERVICE.login: OLD}, obeys_coa=False))


@pytest.mark.parametrize(("returns_as", "found"), [(None, None), (NEW, (100_000, 20_000))])
def test_a_nas_without_coa_disconnects(returns_as: LiveSession | None, found: tuple[int, int] | None) -> None:
    nas = Nas({SERVICE.login: OLD}, knows_coa=False, returns_as=returns_as)
    assert (align(nas), nas.told) == (found, ["ask", "coa", "disconnect", "ask"])


def test_one_who_comes_back_with_the_old_speeds_is_trouble() -> None:
    with pytest.raises(Unavailable, match="50000"):
        align(Nas({SERVICE.login: OLD}, knows_coa=False, returns_as=OLD))


def test_a_ceased_one_is_disconnected_without_coa() -> None:
    nas = Nas({SERVICE.login: OLD})
    assert (align(nas, CEASED), nas.told, nas.sessions) == (None, ["ask", "disconnect", "ask"], {})


def test_a_ceased_one_that_cannot_be_disconnected_is_trouble() -> None:
    with pytest.raises(Unavailable, match="should be gone"):
        align(Nas({SERVICE.login: OLD}, obeys_disconnect=False), CEASED)


@pytest.mark.parametrize("what", ["ask", "coa", "disconnect"])
def test_a_nas_that_does_not_answer_is_said(what: str) -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        align(Nas({SERVICE.login: OLD}, knows_coa=False, deaf_to={what}))


@pytest.mark.parametrize(
    ("service", "knows_coa", "found", "told"),
    [
        (SERVICE, True, (100_000, 20_000), ["coa"]),
        (SERVICE, False, None, ["coa", "disconnect"]),
        (CEASED, True, None, ["disconnect"]),
    ],
)
def test_a_nas_that_cannot_be_asked_is_told_and_believed(
    service: Service, knows_coa: bool, found: tuple[int, int] | None, told: list[str]
) -> None:
    nas = Nas({SERVICE.login: OLD}, reports=False, knows_coa=knows_coa)
    assert (align(nas, service), nas.told) == (found, told)
    assert nas.sessions == ({SERVICE.login: NEW} if found else {})


def test_a_nas_that_cannot_be_asked_may_have_no_session() -> None:
    nas = Nas({}, reports=False)
    assert (align(nas), nas.told) == (None, ["coa", "disconnect"])


@pytest.mark.parametrize(("service", "what"), [(SERVICE, "coa"), (CEASED, "disconnect")])
def test_silence_of_a_nas_that_cannot_be_asked_is_no_answer(service: Service, what: str) -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        align(Nas({SERVICE.login: OLD}, reports=False, deaf_to={what}), service)
