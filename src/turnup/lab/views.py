"""What `show session`, `show ont` and `show port` print: one `key=value` line per thing."""

from collections.abc import Mapping

from turnup.lab.cpe import Cpe
from turnup.lab.device import Device
from turnup.lab.nas import Nas, Session
from turnup.lab.plant import Plant
from turnup.lab.radius import WALLED
from turnup.lab.stanzas import TlosError


def _line(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def session_facts(session: Session, nas: Nas) -> dict[str, object]:
    """A session in the words of `show session`; octets as the subscriber's: in = upload."""
    stanza = nas.device.store.running.holders("username", session.username)
    walled = session.filter_id == WALLED or any(each.leaves.get("walled") == "yes" for each in stanza)
    session.flow.settle(nas.device.clock.elapsed())
    return {
        "session": session.ident,
        "user": session.username,
        "state": "online",
        "access": session.circuit,
        "ipv4": session.ipv4 or "-",
        "ipv6-wan": session.ipv6_wan or "-",
        "ipv6-pd": session.ipv6_pd or "-",
        "down-kbps": session.down_kbps,
        "up-kbps": session.up_kbps,
        "walled": "yes" if walled else "no",
        "filter": session.filter_id or "-",
        "uptime-s": int(nas.device.clock.elapsed() - session.started),
        "in-octets": int(session.flow.up_octets),
        "out-octets": int(session.flow.down_octets),
    }


def ont_facts(cpe: Cpe, plant: Plant) -> dict[str, object]:
    """A plugged ONT in the words of `show ont`; rx in dBm."""
    line = plant.line_of(cpe)
    registered = plant.devices[cpe.olt].store.running.holders("ont", cpe.spec.serial)
    return {
        "ont": cpe.spec.serial,
        "port": cpe.port,
        "state": "up"
        if registered and not (isinstance(line, str) and line.startswith("ont"))
        else "unregistered",
        "service": registered[0].ident[1] if registered else "-",
        "subscriber": cpe.state,
        "reason": (cpe.reason or "-").replace(" ", "_"),
        "rx-dbm": f"{cpe.rx_centi_dbm() / 100:.2f}",
    }


def add_views(device: Device, plant: Plant, nas: Nas | None) -> None:
    """Give a device its show commands."""

    def port(words: list[str]) -> list[str]:
        plant.settle()
        chosen = [each for each in device.ports.values() if not words or each.name == words[0]]
        if not chosen:
            raise TlosError(f"unknown port: {words[0]}")
        return [
            _line({
                "port": each.name,
                "oper": "up" if each.oper_up else "down",
                "speed-mbps": each.speed_mbps,
                "in-octets": int(each.in_octets),
                "out-octets": int(each.out_octets),
            })
            for each in chosen
        ]  # fmt: skip

    def ont(words: list[str]) -> list[str]:
        chosen = plant.onts(device.name)
        if words:
            chosen = [cpe for cpe in chosen if words[0] in (cpe.spec.serial, cpe.port)]
        return [_line(ont_facts(cpe, plant)) for cpe in chosen]

    def session(words: list[str]) -> list[str]:
        assert nas is not None
        if len(words) != 1:
            raise TlosError("syntax: expected `show session USER[,USER]|all`")
        users = words[0].split(",")
        chosen = (
            nas.sessions.values()
            if users == ["all"]
            else [each for user in users for each in nas.of_user(user)]
        )
        return [_line(session_facts(each, nas)) for each in chosen]

    device.shows["port"] = port
    if nas is None:
        device.shows["ont"] = ont
    else:
        device.shows["session"] = session
