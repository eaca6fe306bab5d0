"""Every command of every contract leaves an audit entry, or says here why it does not.

Read from the code: the command's method in its component, and whatever it calls there by name, must reach
`unit.audit`. By name is generous; what it finds missing is missing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnup

HOUSE = Path(turnup.__file__).parent

NOT_AUDITED = {
    "configuration.intend": "what a service should be is audited by provisioning, which alone decides it; "
    "this is its share on one element, kept with its generation, and what was written is kept as a backup",
    "configuration.withdraw": "the same",
    "crm.notify": "the message is its own record: to whom, when, on which occasion",
}
"""Command -> why. An entry that is not needed any more fails, too."""


def components() -> dict[str, Path]:
    return {
        folder.name: folder
        for floor in ("bss", "oss", "integration")
        for folder in (HOUSE / floor).iterdir()
        if (folder / "component.py").exists()
    }


def commands() -> Iterator[str]:
    """``orders.cancel``: every method of a Protocol that changes something."""
    for name in components():
        for node in ast.walk(ast.parse((HOUSE / "contracts" / f"{name}.py").read_text())):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(b) == "Protocol" for b in node.bases):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and "unit" in {a.arg for a in method.args.args}:
                        yield f"{name}.{method.name}"


def calls_of(folder: Path) -> dict[str, set[str]]:
    """Which names each function of a component calls or hands on, by its own name."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            names = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and _ours(n)}
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            found.setdefault(node.name, set()).update(names)
    return found


def _ours(attribute: ast.Attribute) -> bool:
    """Not a store's or a rule's: those cannot audit, and their names are those of use cases."""
    root: ast.expr = attribute
    while isinstance(root, ast.Attribute | ast.Call):
        root = root.value if isinstance(root, ast.Attribute) else root.func
    if isinstance(attribute.value, ast.Attribute) and attribute.value.attr == "_brake":
        return attribute.attr in ("release", "refuse")  # whether something may change is no change
    return attribute.attr == "audit" or not (isinstance(root, ast.Name) and root.id in _SILENT)


_SILENT = {"accounts", "documents", "facts", "ledger", "rules", "runs", "store", "tables", "unit"}


def audits(command: str, calls: dict[str, set[str]]) -> bool:
    waiting, seen = [command], set[str]()
    while waiting:
        name = waiting.pop()
        if name == "audit":
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(calls.get(name, ()))
    return False


@pytest.mark.parametrize("command", sorted(commands()))
def test_a_command_is_audited_or_says_why_not(command: str) -> None:
    component, _, method = command.partition(".")
    calls = calls_of(components()[component])
    assert method in calls, f"{command} is implemented nowhere"
    if command in NOT_AUDITED:
        assert not audits(method, calls), f"{command} is audited: take it off the list"
    else:
        assert audits(method, calls), f"{command} changes something and leaves no audit entry"


def test_every_command_was_found() -> None:
    assert len(list(commands())) > 30
    assert not set(NOT_AUDITED) - set(commands())


def test_a_command_without_audit_would_be_noticed() -> None:
    assert audits("do", {"do": {"_do"}, "_do": {"unit", "audit"}})
    assert not audits("do", {"do": {"_do", "store"}, "_do": {"emit"}})
