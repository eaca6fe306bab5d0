"""A real 802.1X authenticator (hostapd, wired) with a real supplicant acknowledges our Disconnect-Request."""

import shutil

import pytest

from peers.machines import MANAGED
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.coa import CoaPeer, change_authorization, disconnect
from turnup.kernel.errors import Unavailable
from turnup.lab.real.machine import wait_for

_SECRET = "sw-and-us-only"
_USER = "alice@isp.example"
_AUTHENTICATOR = f"""
interface=port
driver=wired
ctrl_interface=CONTROL
ieee8021x=1
use_pae_group_addr=1
auth_server_addr=127.0.0.1
auth_server_port=1812
auth_server_shared_secret=between-them
own_ip_addr={MANAGED}
nas_identifier=sw1
radius_das_port=3799
radius_das_client=198.18.8.1 {_SECRET}
radius_das_require_event_timestamp=0
radius_das_require_message_authenticator=1
"""
_SERVER = """
driver=none
eap_server=1
eap_user_file=USERS
radius_server_clients=CLIENTS
radius_server_auth_port=1812
"""
"""hostapd is an authentication server, too."""
_SUPPLICANT = f"""
ap_scan=0
network={{
  key_mgmt=IEEE8021X
  eap=MD5
  identity="{_USER}"
  password="her own"
  eapol_flags=0
}}
"""


class Port:
    """A switch port with 802.1X, and what its console tells."""

    def __init__(self, host):
        self._host = host
        self.peer = CoaPeer("sw1", MANAGED, 3799, _SECRET.encode())

    def sessions(self):
        """Authorized stations' user names."""
        shown = self._host.console(f"hostapd_cli -p {self._host.home}/control all_sta")
        authorized = "dot1xAuthSessionUserName=" in shown and "[AUTHORIZED]" in shown
        return [
            line.partition("=")[2] for line in shown.splitlines() if "SessionUserName" in line and authorized
        ]


@pytest.fixture(scope="module")
def port(host):
    if shutil.which("hostapd") is None or shutil.which("wpa_supplicant") is None:
        pytest.skip("hostapd and wpa_supplicant are not installed: make peers")
    home = host.home
    host.console("ip link add port type veth peer name hers; ip link set port up; ip link set hers up")
    (home / "users").write_text(f'"{_USER}" MD5 "her own"\n')
    (home / "clients").write_text("127.0.0.1 between-them\n")
    files = {name.upper(): str(home / name) for name in ("control", "users", "clients")}
    for name, text in (("hostapd", _AUTHENTICATOR), ("server", _SERVER)):
        for mark, place in files.items():
            text = text.replace(mark, place)
        (home / f"{name}.conf").write_text(text)
    (home / "wpa.conf").write_text(_SUPPLICANT)
    server = host.daemon("server", "hostapd", "-d", home / "server.conf")
    wait_for(lambda: "AP-ENABLED" in server.read_text(errors="replace"), "the server is up")
    log = host.daemon("hostapd", "hostapd", "-d", home / "hostapd.conf")
    wait_for(lambda: "AP-ENABLED" in log.read_text(errors="replace"), "hostapd is up")
    host.daemon("supplicant", "wpa_supplicant", "-Dwired", "-ihers", "-c", home / "wpa.conf")
    made = Port(host)
    wait_for(lambda: made.sessions() == [_USER], "she is let in")
    made.log = log
    return made


def test_a_stranger_is_not_acknowledged(port):
    assert not disconnect(port.peer, "nobody@isp.example", deadline_s=5.0)


def test_what_it_does_not_support_is_refused_and_a_forger_gets_no_answer(port):
    wanted = LiveSession(down_kbps=1000, up_kbps=1000, walled=True)
    assert not change_authorization(port.peer, _USER, wanted, deadline_s=5.0)
    with pytest.raises(Unavailable):
        disconnect(CoaPeer("sw1", MANAGED, 3799, b"guessed"), _USER, deadline_s=1.5)
    assert port.sessions() == [_USER]


def test_a_disconnect_is_acknowledged_and_the_session_is_gone(port):
    assert disconnect(port.peer, _USER, deadline_s=5.0)
    wait_for(lambda: port.sessions() == [], "she is out")
    assert "Found a matching session" in port.log.read_text(errors="replace")
    assert not disconnect(port.peer, _USER, deadline_s=5.0), "there is no session any more"
