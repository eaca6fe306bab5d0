"""The validator itself: it must be able to fail."""

from builders.tmf_schema import complaints


def test_it_accepts_what_is_right() -> None:
    individual = {
        "@type": "Individual",
        "id": "1",
        "familyName": "Roe",
        "contactMedium": [{"@type": "EmailContactMedium", "emailAddress": "roe@example.net"}],
    }
    assert complaints("TMF632-5", "Individual", individual) == []


def test_it_sees_what_is_wrong() -> None:
    wrong = {
        "familyName": 7,
        "surname": "Roe",
        "birthDate": "2000-01-01T00:00:00+00:00",
        "contactMedium": [{"@type": "EmailContactMedium", "phoneNumber": "1"}],
    }
    found = "\n".join(complaints("TMF632-5", "Individual", wrong))
    for expected in ("'@type' is a required", "familyName: 7", "surname", "birthDate", "phoneNumber"):
        assert expected in found


def test_version_4_is_read_as_well() -> None:
    account, method = {"@type": "AccountRef", "id": "1"}, {"@type": "Cash"}
    right = {"@type": "Payment", "id": "1", "account": account, "paymentMethod": method}
    assert complaints("TMF676-4", "Payment", right) == []
    found = "\n".join(
        complaints("TMF676-4", "Payment", {"@type": "Payment", "paymentDate": "2026-01-01", "x": 1})
    )
    for expected in (
        "'account' is a required",
        "'paymentMethod' is a required",
        "paymentDate",
        "'x' were unexpected",
    ):
        assert expected in found


def test_references_are_told_apart_by_type() -> None:
    def customer(reference: dict[str, str]) -> dict[str, object]:
        return {
            "@type": "Customer",
            "relatedParty": [
                {"@type": "RelatedPartyOrPartyRole", "role": "payer", "partyOrPartyRole": reference}
            ],
        }

    assert complaints("TMF629-5", "Customer", customer({"@type": "PartyRef", "id": "1"})) == []
    assert complaints("TMF629-5", "Customer", customer({"@type": "PartyRef"})) != []
    assert complaints("TMF629-5", "Customer", customer({"@type": "Elephant", "id": "1"})) != []
