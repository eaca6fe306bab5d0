"""The access gateway: a stock Linux router with sshd, snmpd, DHCP relays and router advertisements.

Its nftables, traffic classes and subscriber routes are its manager's, over SSH. What its own administrator
would do is done here: one login by key from the manager's address, and a shut management plane towards
subscribers.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import inside, run, start, succeeds, wait_for, write
from turnup.lab.real.plan import Plan

_SSHD = """
ListenAddress {address}:22
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
AllowUsers root
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
DisableForwarding yes
PermitTTY no
PermitUserRC no
PermitUserEnvironment no
MaxSessions 40
StrictModes no
LogLevel VERBOSE
"""
_OWN_RULES = """
table inet own {{
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {{ "lo", "mgmt", "{uplink}" }} accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    udp dport {{ 67, 547 }} accept
    drop
  }}
}}
"""
_ADVERTISE = """
interface {port} {{
  AdvSendAdvert on;
  AdvManagedFlag on;
  AdvOtherConfigFlag on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  AdvDefaultLifetime 1800;
}};
"""


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """How to get in: what the administrator hands to who manages the gateway."""

    host: str
    host_key: str
    private_key: str
    snmp_community: str


def start_gateway(home: Path, layout: Plan, python: Path) -> GatewayAccess:
    """Start everything that runs on the gateway; returns when SSH answers."""
    folder = home / plan.GATEWAY
    folder.mkdir(parents=True)
    host = plan.MANAGED[plan.GATEWAY]
    run(*inside(plan.GATEWAY, "nft", "-f", "-"), given=_OWN_RULES.format(uplink=plan.UPLINK))
    host_key, private_key = _start_sshd(folder, host)
    community = _start_snmpd(folder, host)
    ports = [plan.port(n) for n in layout.numbers]
    relay = ["dhcrelay", "-4", "-d", "--no-pid", "-a", "-m", "discard", "-iu", "mgmt"]
    for port in ports:
        relay += ["-id", port]
    start(plan.GATEWAY, folder / "dhcrelay.log", *relay, plan.MANAGED[plan.KEA])
    start(
        plan.GATEWAY, folder / "relay6.log", python, "-m", "turnup.lab.real.relay6",
        "--server", plan.KEA6, "--link-address", plan.RELAY6, *ports,
    )  # fmt: skip
    conf = write(folder / "radvd.conf", "".join(_ADVERTISE.format(port=port) for port in ports))
    start(plan.GATEWAY, folder / "radvd.log", "radvd", "-n", "-C", conf, "-p", folder / "radvd.pid", "-m",
          "stderr", "-u", "root")  # fmt: skip
    return GatewayAccess(host=host, host_key=host_key, private_key=private_key, snmp_community=community)


def _start_sshd(folder: Path, host: str) -> tuple[str, str]:
    """(its host key, the private key that lets in)."""
    for name in ("host_key", "manager_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
    manager = (folder / "manager_key.pub").read_text(encoding="utf-8").strip()
    write(folder / "authorized_keys", f'restrict,from="{plan.THIS_MACHINE}" {manager}\n', mode=0o600)
    conf = write(folder / "sshd_config", _SSHD.format(address=host, folder=folder))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks itself in before login
    disk = folder / "var-lib"
    disk.mkdir()
    # `ip netns exec` gives its program mounts of its own: the gateway's disk is not this machine's
    boot = f"mount --bind {disk} /var/lib && exec /usr/sbin/sshd -D -e -f {conf}"
    start(plan.GATEWAY, folder / "sshd.log", "sh", "-c", boot)
    wait_for(lambda: succeeds(["ssh-keyscan", "-T", "2", host]), "sshd of the gateway answers")
    key_type, key, *_ = (folder / "host_key.pub").read_text(encoding="utf-8").split()
    return f"{key_type} {key}", (folder / "manager_key").read_text(encoding="utf-8")


def _start_snmpd(folder: Path, host: str) -> str:
    """Readable from the manager's address only; the community."""
    community = secrets.token_urlsafe(12)
    conf = write(folder / "snmpd.conf", f"rocommunity {community} {plan.THIS_MACHINE}\n", mode=0o600)
    start(plan.GATEWAY, folder / "snmpd.log", "snmpd", "-f", "-Lo", "-C", "-c", conf, "-p",
          folder / "snmpd.pid", f"udp:{host}:161")  # fmt: skip
    return community
