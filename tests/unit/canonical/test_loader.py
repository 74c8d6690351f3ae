"""Mapping files are checked when they are loaded: one line that names file, line, table and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.canonical import TableMapping, load_mappings
from agents.canonical.ownership import load_ownership
from streams.contracts import contract_path
from streams.errors import ConfigurationError

HEAD = "mapping: shop\nversion: 3\nsystem: crm\ntables:\n"
ACCOUNT = """  company:
    entity: account
    fields:
      id: {column: nr, as: id, required: true}
      name: {column: label, as: text}
      parent_id: {column: parent, as: id, absent: null}
      status: {column: state, as: text, one_of: [active]}
    lacks:
      domain: the shop has none
"""


def load(folder: Path, text: str) -> TableMapping:
    (folder / "shop.yaml").write_text(text, encoding="utf-8")
    table = load_mappings(folder)["crm"].tables["company"]
    assert isinstance(table, TableMapping)
    return table


def test_another_vendor_needs_no_code(tmp_path: Path) -> None:
    """A new system's tables are mapped by a file alone; later columns and lacking fields are declared."""
    table = load(tmp_path, HEAD + ACCOUNT)
    assert table.label == "shop/3"
    record = table.convert_row({"nr": 5, "label": None, "state": "active"}, None, ())
    assert record == {"id": "crm:5", "name": None, "parent_id": None, "status": "active"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("entity: account", "entity: firm", r"shop.yaml:5 company: no schema canonical/firm"),
        ("column: nr,", "column: no,", r"shop.yaml:8 company.id: column must be a name; quote one that YAML"),
        ("as: text}", "as: words}", r"shop.yaml:9 company.name: as must be one of boolean, .* not words"),
        ("as: text}", "as: date}", r"shop.yaml:9 company.name: date makes date, the field is string"),
        ("column: label", "colum: label", r"shop.yaml:9 company.name: unknown key colum;"),
        ("as: text}", "as: text, max: 5}", r"company.name: min, max and exclusive are for numbers"),
        ("as: text}", "as: text, size: 5}", r"company.name: unknown key size; known are"),
        ("as: text}", "as: text, required: 1}", r"company.name: required must be true or false"),
        (
            "as: text}",
            "as: text, required: {id: [a]}}",
            r"company.name: required takes true, or another field",
        ),
        ("as: text}", "as: text, required: {nobody: [a]}}", r"company.name: required takes true, or another"),
        ("as: text}", "as: text, required: {}}", r"company.name: required takes true, or another field"),
        (
            "as: text}",
            "as: text, required: {name: a}}",
            r"company.name: required takes true, or another field",
        ),
        ("as: text}", "as: text, system: erp}", r"company.name: system is for id, not for text"),
        ("as: text}", "as: text, before: id}", r"company.name: before must name another text field"),
        ("as: text}", "as: text, absent: 0}", r"company.name: absent takes null"),
        ("[active]", "[on, off]", r"company.status: one_of takes a list of texts; quote"),
        ("[active]", "active", r"company.status: one_of takes a list of texts"),
        ("as: id, absent: null", "as: id, one_of: [x]", r"company.parent_id: one_of is for text, not for id"),
        ("      name:", "      nam:", r"company.nam: canonical.account has no such field"),
        ("      name: {column: label, as: text}\n", "", r"company: canonical field name is neither mapped"),
        (
            "      domain: the",
            "      name: the",
            r"company: canonical field name is both mapped and under lacks",
        ),
        ("domain: the shop has none", "domain: 1", r"company: lacks takes names, each with its reason"),
        ("id, required: true", "id", r"company: id must be mapped, and required"),
        ("    lacks:", "    route: name\n    lacks:", r"company: route must name a required field"),
        ("    lacks:", "    observe: {name: {column: x}}\n    lacks:", r"observe name: belongs to crm"),
        ("    lacks:", "    observe: {name: x}\n    lacks:", r"observe name: expected \{column"),
        ("    lacks:", "    ignore: no\n    lacks:", r"company: ignore takes a reason, and stands alone"),
        ("    lacks:", "    hidden: no\n    lacks:", r"company: unknown key hidden"),
        ("      name: {column: label, as: text}", "      name: label", r"company.name: expected \{column"),
        ("column: nr,", "column: nr, column: no,", r"'column' is repeated in \".*shop.yaml\", line 8"),
        ("version: 3", "version: three", r"version must be a whole number"),
        ("mapping: shop", "mapping: other", r"mapping must be shop, as its file is named"),
        ("system: crm\n", "", r"shop.yaml: system is missing"),
        ("system: crm", "system: erp", r"company.id: crm owns account.id \(ownership.yaml\), not erp"),
        ("entity: account", "entity: 5", r"company: expected `entity` and `fields`"),
        ("mapping: shop", "maping: shop", r"shop.yaml: unknown key maping"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Each mistake is refused at start with its place."""
    text = HEAD + ACCOUNT
    assert old in text
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(tmp_path, text.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["- a\n", "a: [\n", HEAD + "  company: 5\n", HEAD.replace("tables:", "tables: 5")]
)
def test_files_that_are_no_mapping(tmp_path: Path, text: str) -> None:
    """Broken YAML and other documents are refused too."""
    with pytest.raises(ConfigurationError):
        load(tmp_path, text)


def test_numbers_of_rules(tmp_path: Path) -> None:
    """Bounds must be numbers, and hold for numbers."""
    deal = """  company:
    entity: fx_rate
    fields:
      id: {column: id, as: id, required: true}
      from_currency: {column: a, as: text}
      to_currency: {column: b, as: text}
      day: {column: c, as: date}
      rate: {column: d, as: decimal, min: low}
"""
    text = HEAD.replace("system: crm", "system: erp") + deal
    with pytest.raises(ConfigurationError, match=r"company.rate: min must be a number"):
        load(tmp_path, text)
    with pytest.raises(ConfigurationError, match=r"company.rate: min must be a number"):
        load(tmp_path, text.replace("low", "true"))


def test_folder_without_mappings(tmp_path: Path) -> None:
    """A folder with nothing in it is a mistake, not an empty flow; two files of one system are another."""
    with pytest.raises(ConfigurationError, match="holds no mapping"):
        load_mappings(tmp_path)
    for name in ("shop", "store"):
        (tmp_path / f"{name}.yaml").write_text(HEAD.replace("shop", name) + ACCOUNT, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"system crm is already mapped by shop\.yaml"):
        load_mappings(tmp_path)


def test_ownership_file(tmp_path: Path) -> None:
    """Every field has one system of record, its own or its entity's; a malformed file is refused."""
    owners = load_ownership(contract_path("ownership.yaml"))
    assert owners.owner("client", "name") == "crm"
    assert owners.owner("client", "currency") == "erp"
    assert owners.owner("unicorn", "name") is None
    path = tmp_path / "ownership.yaml"
    for text in ("owners: {}\n", "entities:\n  client: erp\n", "entities:\n  client: {fields: {}}\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=r"ownership\.yaml"):
            load_ownership(path)
