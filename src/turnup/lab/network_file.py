"""The network file: what stands in the POP, as a person writes it in YAML.

Only shapes and their checks. Port ranges are expanded (`pon-0/1/[0-15]`); references (links, CPEs) must
point at ports that exist. All secrets in it are lab secrets: it is the one place where they may be written.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_RANGE = re.compile(r"^(?P<head>[^\[\]]*)\[(?P<low>\d+)-(?P<high>\d+)\](?P<tail>[^\[\]]*)$")


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _address(value: object) -> object:
    """`host:port` text to a (host, port) pair; a pair stays as it is."""
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        return (host, port)
    return value


Address = Annotated[tuple[str, Annotated[int, Field(ge=0, le=65535)]], BeforeValidator(_address)]
ANY_PORT: tuple[str, int] = ("127.0.0.1", 0)


class Credentials(_Shape):
    """The login of a device's CLI."""

    username: str
    password: str


class SnmpAgent(_Shape):
    """SNMP v2c: where the agent listens and its read community."""

    listen: Address = ANY_PORT
    community: str = "public"


class Ports(_Shape):
    """One port or a range of alike ports, `pon-0/1/[0-15]`."""

    name: str
    speed_mbps: int = Field(default=1000, gt=0)

    def names(self) -> list[str]:
        """Every port name this entry stands for."""
        found = _RANGE.match(self.name)
        if not found:
            return [self.name]
        low, high = int(found["low"]), int(found["high"])
        return [f"{found['head']}{number}{found['tail']}" for number in range(low, high + 1)]


class RadiusServer(_Shape):
    """An AAA server as the NAS sees it."""

    auth: Address
    acct: Address
    secret: str


class Coa(_Shape):
    """The NAS's dynamic authorization listener (RFC 5176); unsupported: CoA-Request gets a NAK."""

    listen: Address = ANY_PORT
    secret: str
    supported: bool = True
    event_timestamp_window_s: int = Field(default=300, ge=0)


class NasRadius(_Shape):
    """The NAS's RADIUS client. No servers: the lab's own AAA. interim_s 0: no interim accounting."""

    servers: tuple[RadiusServer, ...] = ()
    nas_ip: str = "127.0.0.1"
    timeout_ms: int = Field(default=500, gt=0)
    tries: int = Field(default=3, gt=0)
    interim_s: float = Field(default=10.0, ge=0)
    coa: Coa


class Device(_Shape):
    """A network element. `autosave` writes every commit to the startup config."""

    kind: Literal["bng", "olt"]
    location: str = ""
    credentials: Credentials
    ssh: Address = ANY_PORT
    snmp: SnmpAgent = SnmpAgent()
    ports: tuple[Ports, ...]
    autosave: bool = False
    boot_ms: int = Field(default=200, ge=0)
    radius: NasRadius | None = None

    def port_speeds(self) -> dict[str, int]:
        """Every port's speed in Mbit/s by name, in the file's order."""
        return {name: entry.speed_mbps for entry in self.ports for name in entry.names()}

    @model_validator(mode="after")
    def _radius_on_bng(self) -> "Device":
        if (self.kind == "bng") != (self.radius is not None):
            raise ValueError("a bng needs a `radius` section, an olt must not have one")
        return self


class Link(_Shape):
    """A fibre between two ports, each `device/port`."""

    name: str
    a: str
    b: str


class Cpe(_Shape):
    """A subscriber's equipment: plugged at `device/port`, known by its ONT serial, dialling with a login."""

    name: str
    at: str
    serial: str
    username: str
    password: str
    down_kbps: int = Field(default=0, ge=0)
    up_kbps: int = Field(default=0, ge=0)


class Aaa(_Shape):
    """The lab's light RADIUS server over its own PostgreSQL database."""

    auth: Address = ANY_PORT
    acct: Address = ANY_PORT
    secret: str
    session_timeout_s: int = Field(default=86400, ge=0)


class Network(_Shape):
    """The whole file."""

    pop: str
    control: Address = ANY_PORT
    syslog: Address | None = None
    redial_ms: int = Field(default=250, gt=0)
    redial_max_ms: int = Field(default=5000, gt=0)
    aaa: Aaa
    devices: dict[str, Device]
    links: tuple[Link, ...] = ()
    cpes: tuple[Cpe, ...] = ()

    @model_validator(mode="after")
    def _references(self) -> "Network":
        ends = {f"{name}/{port}" for name, device in self.devices.items() for port in device.port_speeds()}
        for link in self.links:
            for end in (link.a, link.b):
                if end not in ends:
                    raise ValueError(f"links {link.name}: no port {end}; ports are written device/port")
        for cpe in self.cpes:
            if cpe.at not in ends:
                raise ValueError(f"cpes {cpe.name}: no port {cpe.at}; ports are written device/port")
        return self


def load_network(path: Path) -> Network:
    """Read and check a network file; pydantic.ValidationError names the field at fault."""
    return Network.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
