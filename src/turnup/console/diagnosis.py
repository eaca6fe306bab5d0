"""Why a subscriber is offline, in words: what the books and the network say, the nearest cause first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from turnup.console.texts import _
from turnup.contracts.monitoring import ProblemView, SessionView
from turnup.contracts.provisioning import Admission, ServiceState, ServiceView

# RFC 2866, 5.10: Acct-Terminate-Cause, as NAS and AAA servers write it
_CAUSES: Mapping[str, str] = {
    "user-request": "her router hung up",
    "lost-carrier": "the line went away under her: cable, ONT, power",
    "lost-service": "the NAS lost its service",
    "idle-timeout": "nothing was sent for too long",
    "session-timeout": "the session's time was over; the router dials in again",
    "admin-reset": "somebody ended the session on the NAS",
    "admin-reboot": "the NAS was restarted by its administrator",
    "port-error": "the NAS found an error on the port",
    "nas-error": "the NAS failed",
    "nas-request": "the NAS ended it",
    "nas-reboot": "the NAS restarted",
    "port-unneeded": "the NAS wanted the port for something else",
    "port-preempted": "the NAS gave the port to another session",
    "user-error": "her router's PPP made an error",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One line of the answer. `at`: since or when, where it is known."""

    text: str
    at: datetime | None = None


def meaning_of(cause: str | None) -> str:
    """What a session's end means. Empty where the word says enough itself."""
    return _(_CAUSES.get((cause or "").strip().lower().replace(" ", "-").replace("_", "-"), ""))


def why_offline(
    service: ServiceView, session: SessionView | None, problem: ProblemView | None
) -> list[Cause]:
    """Empty while she is online, and for what was ceased."""
    if service.facts.online or service.state is ServiceState.CEASED:
        return []
    causes = []
    if problem is not None:
        causes.append(Cause(_("the network fails her: ") + problem.cause, problem.opened_at))
    if service.admission is Admission.WALLED:
        causes.append(Cause(_("she is suspended: in the walled garden, no full service")))
    if service.state is ServiceState.AWAITING_EQUIPMENT:
        causes.append(Cause(_("her ONT is not known yet: the order waits for its serial")))
    if service.facts.configuration_present is False:
        causes.append(Cause(_("the network lacks her configuration"), service.facts.configuration_read_at))
    elif service.generation != service.verified_generation:
        causes.append(Cause(_("a change of hers is not proved on the network yet")))
    if session is not None and session.ended_at is not None:
        word = session.cause or _("no cause given")
        told = meaning_of(session.cause)
        text = f"{_('the last session ended')}: {word}" + (f" – {told}" if told else "")
        causes.append(Cause(text, session.ended_at))
    if session is None and service.facts.online_changed_at is None:
        causes.append(Cause(_("she was never online: no session has come yet")))
    return causes
