"""The console's pages over HTTP: who sees what, what is found, what happens and what only seems to."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from builders.console_isp import OTHER_SERIAL, SERIAL
from turnup.console.diagnosis import meaning_of
from turnup.contracts.orders import OrderState
from turnup.kernel.ids import BrandId, derived_id
from turnup.runtime.access.browser import way_back


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# --- logging in ------------------------------------------------------------------------------------------


def test_who_is_not_logged_in_comes_back_to_where_she_was(desk_of, numbers):
    nobody = desk_of()
    answer = nobody.get(f"/console/customers/{numbers.customers['Jane Roe']}")
    assert answer.status_code == 303
    following = parse_qs(urlsplit(answer.headers["location"]).query)["next"][0]
    assert following == f"/console/customers/{numbers.customers['Jane Roe']}"
    page = nobody.get(answer.headers["location"])
    assert page.status_code == 200 and f'value="{following}"' in page.text
    form = {"name": "sue", "password": "wrong wrong wrong", "next": following}
    wrong = nobody.post("/console/login", data=form)
    assert wrong.status_code == 401 and "do not match" in wrong.text and f'value="{following}"' in wrong.text
    right = nobody.post("/console/login", data={**form, "password": "correct horse battery staple"})
    assert (right.status_code, right.headers["location"]) == (303, following)
    assert "httponly" in right.headers["set-cookie"].lower()
    assert nobody.get(following).status_code == 200


def test_a_form_survives_the_end_of_its_session_and_nothing_happens_by_itself(desk_of, isp, numbers):
    page = f"/console/orders/{numbers.stopped}/fallout/skip"
    late = desk_of().post(page, data={"reason": "the OLT has it: I looked & saw"})
    following = parse_qs(urlsplit(late.headers["location"]).query)["next"][0]
    back = desk_of("noc").get(following)
    assert back.status_code == 200 and "the OLT has it: I looked &amp; saw" in back.text
    assert isp.house.orders.order(isp.stopped.id).state is OrderState.HELD


def test_for_htmx_the_whole_page_goes_to_the_login(desk_of):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/console/noc?x=1"}
    answer = desk_of().get("/console/noc/live", headers=headers)
    assert answer.status_code == 401
    assert parse_qs(urlsplit(answer.headers["hx-redirect"]).query)["next"] == ["/console/noc?x=1"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/console",
        "//evil.example/console",
        "/\\evil.example",
        "/consoles",
        "/console/../x",
        "javascript:alert(1)",
        "/console\n",
        "console",
        "",
        "/turnup/v1/me",
        "/console/" + "x" * 5000,
    ],
)
def test_no_way_back_leads_elsewhere(elsewhere):
    assert way_back(elsewhere) is None


def test_another_site_can_neither_log_in_nor_decide(desk_of, isp, numbers):
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    form = {"name": "sue", "password": "correct horse battery staple"}
    assert desk_of().post("/console/login", data=form, headers=foreign).status_code == 403
    refused = desk_of("noc").post(f"/console/orders/{numbers.stopped}/fallout/undo", data={}, headers=foreign)
    assert refused.status_code == 403
    assert isp.house.orders.order(isp.stopped.id).state is OrderState.HELD


def test_logging_out_ends_the_session(desk_of):
    desk = desk_of("sue")
    cookies = dict(desk.cookies)
    assert desk.post("/console/logout").headers["location"] == "/console/login"
    desk.cookies.update(cookies)
    assert desk.get("/console").status_code == 303


def test_a_page_runs_nothing_that_is_not_ours(desk_of, numbers):
    desk = desk_of("root")
    for page in ("/console", f"/console/customers/{numbers.customers['Jane Roe']}", "/console/noc"):
        answer = desk.get(page)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "://" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text)
        assert not re.findall(r"<[^>]+ (?:style|on\w+)=", answer.text)


def test_assets_are_ours_and_kept(desk_of):
    page = desk_of().get("/console/login")
    for url in re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page.text):
        answer = desk_of().get(url)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"], url
    for name in ("vendor/htmx.LICENSE.txt", "..%2Frouter.py", "vendor/..%2f..%2f__init__.py", "nothing.js"):
        assert desk_of().get(f"/console/assets/{name}").status_code == 404


# --- rights ----------------------------------------------------------------------------------------------


def test_errors_are_pages_that_say_what_helps(desk_of, numbers):
    gone = desk_of("sue").get("/console/customers/C-0")
    assert gone.status_code == 404 and "look for it in the search box" in text_of(gone)
    nowhere = desk_of("sue").get("/console/no/such/page")
    assert nowhere.status_code == 404 and "<html" in nowhere.text
    forbidden = desk_of("bill").get("/console/noc")
    assert forbidden.status_code == 403 and "ask an administrator for a role" in text_of(forbidden)
    program = desk_of("sue").get("/turnup/v1/no/such/thing")
    assert program.json()["code"] == "not_found"


def test_navigation_and_sections_follow_the_scopes(desk_of, numbers):
    billing = desk_of("bill").get("/console")
    assert 'href="/console/noc"' not in billing.text and 'href="/console/fallout"' in billing.text
    jane = f"/console/customers/{numbers.customers['Jane Roe']}"
    assert "Your role does not show services" in text_of(desk_of("bill").get(jane))
    network = text_of(desk_of("noc").get(jane))
    assert numbers.service in network and "Payments" not in network and numbers.invoice not in network
    assert desk_of("noc").get(f"/console/invoices/{numbers.invoice}").status_code == 403


def test_support_sees_the_choices_only_where_she_may_choose(desk_of, isp, numbers):
    isp.hire("aud", "auditor")
    page = desk_of("aud").get(f"/console/orders/{numbers.stopped}")
    assert page.status_code == 200 and "/fallout/" not in page.text.replace('"/console/fallout"', "")
    choice = f"/console/orders/{numbers.stopped}/fallout/retry"
    assert desk_of("aud").get(choice).status_code == 403
    assert desk_of("aud").post(choice, data={}).status_code == 403


def test_who_is_confined_sees_her_brand_only(desk_of, isp, numbers):
    isp.hire("red", "administrator", brand_id=BrandId(derived_id("brand", "red")))
    account = isp.house.crm.account(isp.accounts["Jane Roe"])
    isp.hire("own", "administrator", brand_id=account.brand_id)
    pages = (
        f"/console/customers/{numbers.customers['Jane Roe']}",
        f"/console/orders/{numbers.stopped}",
        f"/console/invoices/{numbers.invoice}",
        f"/console/services/{numbers.service}",
        f"/console/orders/{numbers.stopped}/fallout/retry",
    )
    for page in pages:
        assert desk_of("red").get(page).status_code == 404, page
        assert desk_of("own").get(page).status_code in (200, 303), page
    for sought in ("Jane", numbers.account, numbers.service, numbers.invoice, numbers.stopped, numbers.ipv4):
        assert "Nothing found" in desk_of("red").get("/console/search", params={"q": sought}).text
        assert "Nothing found" not in desk_of("own").get("/console/search", params={"q": sought}).text
    for page in ("/console/noc", "/console/fallout", "/console/reconciliation", "/console/noc/stream"):
        assert desk_of("own").get(page).status_code == 403, page
        assert page not in desk_of("own").get("/console").text


# --- search ----------------------------------------------------------------------------------------------


def found(desk, sought):
    page = desk.get("/console/search", params={"q": sought}, headers={"HX-Request": "true"})
    assert page.status_code == 200
    return re.findall(r'<a href="([^"]+)"><span class="kind">(\w+)</span>', page.text)


def test_one_box_finds_them_all(desk_of, numbers):
    desk = desk_of("root")
    jane = f"/console/customers/{numbers.customers['Jane Roe']}"
    service = (f"{jane}#service-{numbers.service}", "service")
    expected = {
        "Jane Roe": (jane, "customer"),
        "roe ja": (jane, "customer"),
        numbers.customers["Jane Roe"].lower(): (jane, "customer"),
        "JANE@mail.example": (jane, "customer"),
        "030 1234567": (jane, "customer"),
        "+49301234567": (jane, "customer"),
        "0049 30 / 123 45 67": (jane, "customer"),
        numbers.account: (f"{jane}#account-{numbers.account}", "account"),
        numbers.stopped: (f"/console/orders/{numbers.stopped}", "order"),
        numbers.invoice: (f"/console/invoices/{numbers.invoice}", "invoice"),
        numbers.service: service,
        numbers.login: service,
        numbers.ipv4: service,
        SERIAL.lower(): service,
        numbers.circuit: service,
    }
    for sought, hit in expected.items():
        assert hit in found(desk, sought), sought


def test_what_is_not_there_is_not_found_and_nothing_breaks(desk_of):
    desk = desk_of("root")
    strange = (
        "zz top",
        "x" * 500,
        "' OR 1=1 --",
        "a & b | !c:*",
        "<script>alert(1)</script>",
        "\\",
        "%%%%",
        "''",
        "٣٣٣٣٣٣",
        "10.0.0.0/8",
        "2001:db8::/56",
        "1",
        "",
        " ",
        "C-",
        "INV-99999999999999999999",
        "\x00\x01",
    )
    for sought in strange:
        page = desk.get("/console/search", params={"q": sought})
        assert page.status_code == 200, (sought, page.text)
        assert "<script>alert" not in page.text


def test_a_single_hit_is_gone_to_at_once(desk_of, numbers):
    page = desk_of("root").get("/console/search", params={"q": numbers.stopped, "go": "1"})
    assert (page.status_code, page.headers["location"]) == (303, f"/console/orders/{numbers.stopped}")


# --- pages -----------------------------------------------------------------------------------------------


def test_the_customer_in_one_page(desk_of, isp, numbers):
    page = desk_of("root").get(f"/console/customers/{numbers.customers['Jane Roe']}")
    told = text_of(page)
    for word in (
        "Jane Roe",
        "jane@mail.example",
        "Torstrasse 1",
        numbers.account,
        "configuration: present",
        "subscriber: online",
        "traffic: seen",
        numbers.ipv4,
        SERIAL,
        numbers.invoice,
        "10.00 EUR",
    ):
        assert word in told, word
    assert "Why she is offline" not in told


def test_why_she_is_offline(desk_of, numbers):
    told = text_of(desk_of("root").get(f"/console/customers/{numbers.customers['Ann Lee']}"))
    assert "Why she is offline" in told and "the last session ended" in told
    joe = text_of(desk_of("root").get(f"/console/customers/{numbers.customers['Joe Bloggs']}"))
    assert "a change of hers is not proved on the network yet" in joe and "she was never online" in joe
    assert "the line went away" in meaning_of("Lost-Carrier") and meaning_of("LOST_CARRIER") == meaning_of(
        "lost carrier"
    )
    assert meaning_of(None) == meaning_of("something new") == ""


def test_the_aaa_servers_say_why_they_turned_her_away(desk_of, isp, numbers):
    page = f"/console/services/{isp.offline.number}/last-reject"
    desk = desk_of("root")
    assert "no AAA server remembers" in text_of(desk.get(page))
    held = isp.house.inventory.reservation(isp.offline.id).resources
    isp.stand.lab.plug(
        name="wrong",
        at=held["access_port"],
        serial=OTHER_SERIAL,
        username=isp.offline.login,
        password="not hers",
        down_kbps=1,
        up_kbps=1,
    )
    isp.wait(lambda: "the AAA server turned her away:" in text_of(desk.get(page)), "a reject is told")
    isp.stand.lab.unplug(name="wrong")


def test_the_order_tells_turnups_time_from_the_devices(desk_of, numbers):
    told = text_of(desk_of("root").get(f"/console/orders/{numbers.stopped}"))
    told_of = ("Turnup ms", "Devices ms", "reserve", "design", "It stopped in “realise”", "What it means")
    for word in (*told_of, "Retry", "Edit and retry", "Undo", "Skip this step"):
        assert word in told, word


def test_every_choice_says_what_it_does_and_asking_does_nothing(desk_of, isp, numbers):
    desk = desk_of("noc")
    for choice, word in (
        ("retry", "started again at once"),
        ("undo", "ends as cancelled"),
        ("skip", "It is not done, now or later"),
        ("edit", "is changed as you say"),
    ):
        page = desk.get(f"/console/orders/{numbers.stopped}/fallout/{choice}")
        assert page.status_code == 200 and word in text_of(page), choice
    assert isp.house.orders.order(isp.stopped.id).state is OrderState.HELD


def test_a_skip_without_a_reason_is_asked_again(desk_of, isp, numbers):
    page = desk_of("noc").post(f"/console/orders/{numbers.stopped}/fallout/skip", data={"reason": " "})
    assert page.status_code == 400 and "say why it is safe" in text_of(page)
    untouched = desk_of("noc").post(f"/console/orders/{numbers.stopped}/fallout/edit", data={"edit.site": ""})
    assert untouched.status_code == 400 and "nothing to edit" in text_of(untouched)


def test_undo_takes_it_back_and_a_second_answer_comes_too_late(desk_of, isp):
    order = isp.refuse_one()
    desk, page = desk_of("noc"), f"/console/orders/{order.number}/fallout/undo"
    answer = desk.post(page, data={"reason": "she changed her mind"})
    assert answer.headers["location"] == f"/console/orders/{order.number}?done=undo"
    assert isp.ended(order.id).state is OrderState.CANCELLED
    late = desk.post(page, data={})
    assert late.status_code == 409 and "somebody has decided already" in text_of(late)
    assert "cancelled" in text_of(desk.get(answer.headers["location"]))


def test_every_line_says_why_this_amount(desk_of, isp, numbers):
    desk = desk_of("bill")
    page = desk.get(f"/console/invoices/{numbers.invoice}")
    invoice = isp.house.billing.by_number(numbers.invoice)
    assert len(invoice.lines) > 1
    for line in invoice.lines:
        assert " ".join(line.explanation.split()) in text_of(page)
    [pdf] = re.findall(r'href="([^"]+\.pdf)"', page.text)
    assert desk.get(pdf).content.startswith(b"%PDF")


def test_findings_have_money_age_owner_and_a_repair_that_works(desk_of, isp):
    desk = desk_of("root")
    [finding] = [
        each for each in isp.house.reconciler.findings.findings() if each.kind == "live_not_billed"
    ] or [None]
    assert finding is not None, isp.house.reconciler.findings.findings()
    page = desk.get("/console/reconciliation", params={"kind": finding.kind})
    assert finding.service_number in page.text and finding.owner in page.text
    repair = f"/console/reconciliation/{finding.id}/repair"
    assert finding.repair in text_of(desk.get(repair))
    assert desk.post(repair, data={}).headers["location"].endswith("done=repaired")
    assert desk.post(repair, data={}).status_code == 404
    assert finding.id not in {each.id for each in isp.house.reconciler.findings.findings()}


# --- the network -----------------------------------------------------------------------------------------


def test_freeze_and_lift(desk_of, isp):
    desk = desk_of("noc")
    assert "Subscribers stay as they are" in text_of(desk.get("/console/noc/freeze"))
    nothing = desk.post("/console/noc/freeze", data={"target": "", "reason": "works"})
    assert (
        nothing.status_code == 400
        and "choose an element" in text_of(nothing)
        and 'value="works"' in nothing.text
    )
    answer = desk.post("/console/noc/freeze", data={"target": "element:olt2", "reason": "works on the rack"})
    assert answer.headers["location"] == "/console/noc?done=frozen"
    [freeze] = isp.house.configuration.freezes()
    assert (freeze.code, freeze.frozen_by) == ("olt2", "staff:noc")
    assert "works on the rack" in desk.get("/console/noc/live").text
    lift = f"/console/noc/freezes/{freeze.id}/lift"
    assert "Turnup writes to element olt2 again" in text_of(desk.get(lift))
    assert desk.post(lift, data={"reason": "done"}).headers["location"] == "/console/noc?done=lifted"
    assert not isp.house.configuration.freezes()


def test_a_problem_names_whom_it_hits(desk_of, isp, numbers):
    olt = isp.house.inventory.reservation(isp.service.id).resources["access_port"].partition("/")[0]
    isp.stand.lab.power_off(device=olt)
    isp.wait(lambda: isp.house.monitoring.open_problems_of([isp.service.id]), "a problem is open")
    desk = desk_of("noc")
    [link] = re.findall(r'href="(/console/noc/problems/[^"]+)"', desk.get("/console/noc").text)
    assert numbers.service in desk.get(link).text and "Jane Roe" in desk.get(link).text
    jane = text_of(desk.get(f"/console/customers/{numbers.customers['Jane Roe']}"))
    assert "service problem" in jane
    isp.stand.lab.power_on(device=olt)
    isp.wait(lambda: not isp.house.monitoring.problems(), "the problem is over")


def test_an_idle_session_ends(desk_of, isp):
    desk = desk_of("sue")
    desk.app.state.authenticator.forget()
    isp.stand.pass_time(timedelta(minutes=31))
    desk.app.state.authenticator.forget()
    assert desk.get("/console").status_code == 303
