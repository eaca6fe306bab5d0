"""What comes from outside is data: it is not run, does not unfold, names no file or address of its choice."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import typst
import yaml

from turnup.bss.crm.rules import render
from turnup.runtime.yaml_text import load_yaml

SOURCE = Path(__file__).parents[2] / "src" / "turnup"


def modules_that(pattern: str) -> set[str]:
    found = (path for path in SOURCE.rglob("*.py") if re.search(pattern, path.read_text(), re.MULTILINE))
    names = {str(path.relative_to(SOURCE)) for path in found}
    return {name for name in names if not name.startswith(("lab/", "app/demo/"))}


HTTP = {
    "runtime/access/oidc.py",  # the provider of the settings, and what its discovery names, by https
}
XML_AND_ARCHIVES = {
    # `parsed`: no entities, no DTD; tests/gateways/test_netconf_interfaces.py
    "gateways/netconf/interfaces.py",
}


def test_only_these_modules_send_http_requests() -> None:
    """Each to an address of the settings or of the network's inventory, none to one that a request, a message
    or a file named: no server-side request forgery. What is added here needs its own guard."""
    asking = r"^(import|from) (httpx|requests|aiohttp|urllib3)\b|urllib\.request"
    assert modules_that(asking) == HTTP


def test_nothing_else_parses_xml_or_unpacks_archives() -> None:
    """Whoever adds it turns off entities, checks the paths inside, and says so here."""
    assert modules_that(r"^(import|from) (xml|lxml|defusedxml|tarfile|zipfile)\b") == XML_AND_ARCHIVES


def test_nothing_runs_data() -> None:
    running = r"(?<![\w.])(?<!def )(eval|exec)\(|shell=True|yaml\.(load|full_load|unsafe_load)\("
    assert modules_that(running) == set()
    assert modules_that(r"^(import|from) (pickle|marshal|shelve|dill)\b") == set()


def test_yaml_that_others_wrote_goes_through_one_reader() -> None:
    assert modules_that(r"yaml\.safe_load\(") == {"runtime/yaml_text.py"}


def test_yaml_makes_no_objects_and_does_not_unfold() -> None:
    laughs = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for hostile in (
        "!!python/object/apply:os.system ['true']",
        "\n".join(laughs),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5000 + "]" * 5000,
    ):
        with pytest.raises(yaml.YAMLError):
            load_yaml(hostile)
    shared = load_yaml("base: &base {speed: 300}\nplans: [*base, *base, {<<: *base, up: 50}]")
    assert shared["plans"][2] == {"speed": 300, "up": 50}
    assert load_yaml("") is None


@pytest.mark.parametrize(
    "text", ['#panic("run")', '#read("/etc/passwd")', "$ x $", "*bold* \\ [ ] ]", "@here"]
)
def test_what_stands_on_an_invoice_is_text(text: str) -> None:
    template = files("turnup.bss.billing").joinpath("invoice.typ").read_bytes()
    names = ("seller", "name", "street", "city", "country", "number", "account", "date", "due", "period")
    data = dict.fromkeys((*names, "net", "tax", "total"), text)
    invoice = {**data, "lines": [{"text": text, "why": text, "net": text}]}
    pdf = typst.compile(template, format="pdf", sys_inputs={"invoice": json.dumps(invoice)})
    assert pdf.startswith(b"%PDF")


def test_what_stands_in_a_message_is_text() -> None:
    templates = {("en", "m"): "About $service\n$service since $at"}
    facts = {"service": "${at} $x {0.__class__} %s\nBcc: all@example.org", "at": "noon"}
    subject, body = render(templates, "m", "en", facts)
    assert subject == "About ${at} $x {0.__class__} %s Bcc: all@example.org"
    assert body == f"{facts['service']} since noon"
