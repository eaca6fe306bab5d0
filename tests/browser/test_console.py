"""The console in a real browser: the stories of those who sit before it, and WCAG AA on every page by axe.

With TURNUP_SCREENSHOTS=FOLDER each page is kept as a picture there, to be looked at.
"""

import os
from pathlib import Path

import pytest

from turnup.contracts.orders import OrderState

AXE = (Path(__file__).parent / "axe.min.js").read_text()
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def check_access(page):
    """No violation of WCAG 2.2 AA that axe can see."""
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, rules)", _RULES)["violations"]
    told = [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]
    assert not told, f"{page.url}\n" + "\n".join(told)


def keep(page, name):
    folder = os.environ.get("TURNUP_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_from_the_search_to_the_order_that_goes_through(opened, isp, numbers):
    """Login, search, customer, order, retry: by keyboard where it is quicker."""
    order = isp.refuse_one()
    page = opened("noc")
    page.keyboard.press("/")
    page.keyboard.type("blog")
    hit = page.locator("#hits a", has_text="Joe Bloggs")
    hit.wait_for()
    keep(page, "search")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").endswith("Joe Bloggs")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Joe Bloggs").wait_for()
    page.get_by_role("region", name="Orders").get_by_role("link", name=order.number).click()
    page.get_by_role("heading", name=f"Order {order.number}").wait_for()
    assert page.get_by_text("What it means").is_visible()
    page.get_by_role("link", name="Retry", exact=False).first.click()
    assert page.get_by_text("is started again at once").is_visible()
    assert isp.house.orders.order(order.id).state is OrderState.HELD, "asking changes nothing"
    page.get_by_label("Reason").fill("the card was reseated")
    page.get_by_role("button", name="Retry").click()
    page.locator("#order h1 .tone", has_text="completed").wait_for(timeout=30_000)  # by itself, no reload
    assert isp.house.orders.order(order.id).state is OrderState.COMPLETED
    assert (
        "CET" in page.locator("time").first.inner_text() or "GMT+1" in page.locator("time").first.inner_text()
    )


def test_a_time_out_loses_nothing(opened, isp, numbers):
    page = opened("noc")
    page.goto(f"/console/orders/{numbers.stopped}/fallout/skip")
    page.get_by_label("Reason").fill("the OLT has it, I looked")
    page.context.clear_cookies()
    page.get_by_role("button", name="Skip this step").click()
    page.get_by_label("Password").wait_for()
    page.get_by_label("Name", exact=True).fill("noc")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_label("Reason").input_value() == "the OLT has it, I looked"
    assert isp.house.orders.order(isp.stopped.id).state is OrderState.HELD


def test_the_network_page_lives(opened, isp, numbers):
    olt = isp.house.inventory.reservation(isp.service.id).resources["access_port"].partition("/")[0]
    page = opened("noc")
    page.goto("/console/noc")
    problems = page.get_by_role("region", name="Service problems")
    problems.get_by_text("none open").wait_for()
    isp.stand.lab.power_off(device=olt)
    page.locator("#live a", has_text=olt).first.wait_for(timeout=30_000)  # by the stream, no reload
    check_access(page)
    keep(page, "network")
    page.locator("#live a", has_text=olt).first.click()
    page.get_by_text(numbers.service).wait_for()
    isp.stand.lab.power_on(device=olt)
    isp.wait(lambda: not isp.house.monitoring.problems(), "the problem is over")


def pages_of(isp, numbers):
    finding = isp.house.reconciler.findings.findings()[0]
    return {
        "home": "/console",
        "found": "/console/search?q=roe",
        "nothing": "/console/search?q=nobody+at+all",
        "customer": f"/console/customers/{numbers.customers['Jane Roe']}",
        "offline": f"/console/customers/{numbers.customers['Ann Lee']}",
        "order": f"/console/orders/{numbers.stopped}",
        "question": f"/console/orders/{numbers.stopped}/fallout/edit",
        "fallout": "/console/fallout",
        "noc": "/console/noc",
        "freeze": "/console/noc/freeze",
        "invoice": f"/console/invoices/{numbers.invoice}",
        "reconciliation": "/console/reconciliation",
        "repair": f"/console/reconciliation/{finding.id}/repair",
        "missing": "/console/customers/C-0",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(opened, isp, numbers, scheme):
    nobody = opened(dark=scheme == "dark")
    check_access(nobody)
    keep(nobody, f"login-{scheme}")
    page = opened("root", dark=scheme == "dark")
    for name, path in pages_of(isp, numbers).items():
        page.goto(path)
        if name == "invoice":
            page.locator("summary").first.click()
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.dataset.bsTheme") == scheme
        check_access(page)
        keep(page, f"{name}-{scheme}")


def test_it_reflows_on_a_small_screen(opened, isp, numbers):
    """WCAG 1.4.10: at 320 CSS pixels nothing but tables scrolls sideways."""
    page = opened("root", width=320)
    for path in pages_of(isp, numbers).values():
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, (path, wide)


def test_the_keyboard_reaches_the_content_first(opened, isp, numbers):
    page = opened("root")
    page.goto("/console/fallout")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
