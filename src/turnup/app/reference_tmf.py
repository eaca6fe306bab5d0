"""The reference page of the TM Forum resources: the declarations of the assembled house, written out."""

from collections.abc import Sequence

from turnup.app.engine import Engine
from turnup.app.house import SERVER, assemble
from turnup.app.reference_page import page
from turnup.runtime.settings import Settings
from turnup.runtime.tmf import Attribute, Resource, TmfRouter
from turnup.runtime.tmf.paths import APIS, base_path

OPERATIONS = ("list", "get", "create", "patch", "delete")
_NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/none"


def declared() -> Sequence[Resource]:
    """Every TM Forum resource of the house, by API and name. No database is asked."""
    house = assemble(Settings(), Engine(_NOWHERE, _NOWHERE, embedded=False), process=SERVER)
    try:
        routers = [router for component in house.components for router in component.routers]
        found = [each for router in routers if isinstance(router, TmfRouter) for each in router.resources]
    finally:
        house.close()
    return sorted(found, key=lambda each: (each.api, each.name))


def tmf_page() -> str:
    resources = declared()
    lines = [*_survey(resources), "", "## What lists take", ""]
    for each in resources:
        if each.list is not None:
            lines += [f"### {each.api} {each.name}", "", *_attributes(each), ""]
    return page(
        "TM Forum resources",
        "Lists take attribute filters (`state=active,suspended`: any of these; `startDate.gte=…` with `eq`, "
        "`ne`, `gt`, `gte`, `lt`, `lte`), `sort=-startDate,id`, `fields=id,state`, `limit` (at most 1000) "
        "and `offset`; an attribute that is not named below is an error. Where more follows, `Link: …; "
        'rel="next"` says where; `X-Total-Count` is sent when the header of that name or `offset` is. '
        "Patches are JSON merge patches or JSON patches. Answers about one resource carry an `ETag` for "
        "`If-Match` (412) and `If-None-Match` (304); a create takes an `Idempotency-Key`.",
        lines,
    )


def _survey(resources: Sequence[Resource]) -> list[str]:
    lines = ["| API | version | resource | operations | path |", "|---|---|---|---|---|"]
    for each in resources:
        known = APIS[each.api]
        offered = ", ".join(name for name in OPERATIONS if getattr(each, name) is not None)
        lines.append(
            f"| {each.api} {known.title} | {known.version} | {each.name} | {offered} | `{each.path}` |"
        )
    there = {each.api for each in resources}
    lines += ["", "## Not offered yet", "", "| API | version | path |", "|---|---|---|"]
    lines += [
        f"| {api} {known.title} | {known.version} | `{base_path(api)}` |"
        for api, known in APIS.items()
        if api not in there
    ]
    return lines


def _attributes(resource: Resource) -> list[str]:
    order = f"Sorted by `{resource.order}` unless asked otherwise. " if resource.order else ""
    indexed = all(each.column is not None for each in resource.attributes.values())
    slow = "" if indexed else "(*: looked for in the documents one by one, which takes long in long lists.)"
    rows = [
        f"| `{path}`{_mark(each)} | {each.kind.value} | {'yes' if each.sortable else ''} |"
        for path, each in resource.attributes.items()
    ]
    intro = [(order + slow).strip(), ""] if order or slow else []
    return [*intro, "| attribute | is | sorts |", "|---|---|---|", *rows]


def _mark(attribute: Attribute) -> str:
    return "" if attribute.column is not None else "*"
