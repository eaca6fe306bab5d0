"""Pure rules of configuration: differences, what to change, what nobody should read."""

from hypothesis import given
from hypothesis import strategies as st

from configuration.conftest import fragment, service
from turnup.contracts.configuration import Fragment
from turnup.kernel.ids import ServiceId
from turnup.oss.configuration import rules
from turnup.oss.configuration.model import Intent


def intent(wanted: Fragment) -> Intent:
    return Intent(wanted.kind, wanted.generation, wanted)


fragments = st.dictionaries(
    st.integers(0, 5),
    st.fixed_dictionaries({}, optional={name: st.sampled_from("ab") for name in ("vlan", "secret")}),
)


@given(fragments, fragments, st.sets(st.integers(0, 5)))
def test_applying_the_changes_leaves_no_difference_but_strangers(
    wanted: dict[int, dict[str, str]], held: dict[int, dict[str, str]], withdrawn: set[int]
) -> None:
    intents = {service(n): intent(fragment(n, 2, **attributes)) for n, attributes in wanted.items()}
    intents |= {service(n): Intent("access_service", 2, None) for n in withdrawn}
    actual: dict[ServiceId, Fragment] = {
        service(n): fragment(n, 1, **attributes) for n, attributes in held.items()
    }
    found = rules.differences(intents, actual)
    for change in rules.changes(intents, found):
        if change.want is None:
            actual.pop(change.service_id)
        else:
            actual[change.service_id] = change.want
    left = rules.differences(intents, actual)
    strangers = sorted(set(actual) - set(intents))
    assert [difference.service_id for difference in left] == strangers
    assert all(difference.unexpected for difference in left)
    assert rules.changes(intents, left) == []


def test_a_difference_names_both_sides_and_hides_secrets() -> None:
    want, have = fragment(1, 2, vlan="7", secret="hush"), fragment(1, 1, vlan="8", secret="old", extra="x")
    [difference] = rules.differences({service(1): intent(want)}, {service(1): have})
    assert difference.attributes == {
        "extra": (None, "x"),
        "secret": ("********", "********"),
        "vlan": ("7", "8"),
    }


def test_who_is_late() -> None:
    assert rules.outdated(intent(fragment(1, 4)), fragment(1, 5))
    assert not rules.outdated(intent(fragment(1, 5)), fragment(1, 5))
    assert not rules.outdated(intent(fragment(1, 5)), None)


def test_secrets_in_configuration_text_are_masked() -> None:
    text = "user turnup password 7hush\n snmp community hush ro\n Radius Shared-Secret hush\n vlan 7\n"
    shown = rules.mask_secrets(text)
    assert shown == text.replace("7hush", "*" * 8).replace("hush", "*" * 8)
