"""Subscribers' ports as RFC 8343 interfaces, without an element: what is read, what is refused."""

import pytest

from turnup.contracts.configuration import Change, ElementRefused, Fragment
from turnup.gateways.netconf.interfaces import KIND, Port, edit_for, masked, parsed, read_ports, replacing
from turnup.kernel.ids import ServiceId, derived_id

ANNA, BERT = (ServiceId(derived_id("service", name)) for name in ("anna", "bert"))
DATA = f"""<?xml version="1.0" encoding="UTF-8"?>
<data xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">
  <interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces">
    <interface><name>p1</name><description>turnup {ANNA} 3</description></interface>
    <interface>
      <name>p2</name><description>turnup without {BERT} 9</description><enabled>false</enabled>
    </interface>
    <interface><name>uplink</name><description>turnup soon</description><enabled>true</enabled></interface>
  </interfaces>
  <system xmlns="urn:example:system"><user><name>ops</name><password>$6$abc</password></user></system>
</data>"""


def change(service_id, generation, port):
    want = None
    if port is not None:
        attributes = {"port": port}
        want = Fragment(service_id=service_id, kind=KIND, attributes=attributes, generation=generation)
    return Change(service_id=service_id, kind=KIND, want=want, generation=generation)


def test_ports_say_whom_they_serve():
    assert read_ports(DATA) == {
        "p1": Port("p1", True, str(ANNA), 3),
        "p2": Port("p2", False, str(BERT), 9, withdrawn=True),
        "uplink": Port("uplink", True),
    }
    assert read_ports('<data xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"/>') == {}


def test_an_edit_is_read_back_as_what_was_wanted():
    edit = edit_for([change(ANNA, 4, "p3"), change(BERT, 10, "p1")], read_ports(DATA), "sw1")
    assert read_ports(edit) == {
        "p1": Port("p1", True, str(BERT), 10),
        "p3": Port("p3", True, str(ANNA), 4),
    }
    edit = edit_for([change(ANNA, 4, None)], read_ports(DATA), "sw1")
    assert read_ports(edit) == {"p1": Port("p1", False, str(ANNA), 4, withdrawn=True)}


def test_a_port_name_is_text_whatever_it_holds():
    edit = edit_for([change(ANNA, 4, "<enabled>&x;")], {}, "sw1")
    assert list(read_ports(edit)) == ["<enabled>&x;"]


def test_what_a_switch_cannot_hold_is_refused():
    with pytest.raises(ElementRefused, match="p1 serves"):
        edit_for([change(BERT, 10, "p1")], read_ports(DATA), "sw1")
    with pytest.raises(ElementRefused, match="no port"):
        edit_for([change(BERT, 10, "")], {}, "sw1")
    fast = Fragment(service_id=BERT, kind=KIND, attributes={"port": "p2", "vlan": "7"}, generation=10)
    with pytest.raises(ElementRefused, match="has no vlan"):
        edit_for([Change(service_id=BERT, kind=KIND, want=fast, generation=10)], {}, "sw1")


def test_a_backup_hides_secrets_and_a_rollback_leaves_them_to_the_element():
    backup = masked(DATA)
    assert "$6$abc" not in backup
    running = DATA.replace("<system", '<other xmlns="urn:example:other"/><system')
    edit = parsed(replacing(backup, running))
    operation = "{urn:ietf:params:xml:ns:netconf:base:1.0}operation"
    assert {child.tag.partition("}")[2]: child.get(operation) for child in edit} == {
        "interfaces": "replace",
        "system": "merge",
        "other": "remove",
    }
    assert "password" not in replacing(backup, running)


@pytest.mark.parametrize(
    "hostile",
    [
        '<!DOCTYPE data [<!ENTITY x SYSTEM "file:///etc/passwd">]><data>&x;</data>',
        '<!DOCTYPE data [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><data>&b;</data>',
        '<!DOCTYPE data SYSTEM "http://127.0.0.1:1/x.dtd"><data/>',
        "<data>",
        "no XML",
    ],
)
def test_entities_and_document_types_are_refused(hostile):
    with pytest.raises(ElementRefused):
        parsed(hostile)
