"""One Python function for each database function: same name, same arguments."""

from __future__ import annotations

import importlib
import inspect
import re
import typing

import pytest

from letterlock.database.errors import OUR_OWN
from letterlock.database.files import functions
from letterlock.database.gate import SCHEMAS
from letterlock.database.roles import LOGIN_ROLES
from letterlock.database.wire import ENCODERS
from tests.fakes.postgres import Database

PLACES = {"ca": "pki.ca", "acme": "pki.acme"}
"""Schemas whose package lies in another one."""

ASK = """
SELECT p.proname, p.proargnames, p.proargtypes::oid[] FROM pg_proc p WHERE p.pronamespace = %s::regnamespace
AND EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = ANY (%s) AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
"""


def _arguments(function: object) -> set[str]:
    """Names of the arguments after the gate, those of an unpacked TypedDict one by one, without a trailing underscore."""
    names: set[str] = set()
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:  # type: ignore[arg-type]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (packed,) = typing.get_args(hints[name])
            names |= set(typing.get_type_hints(packed))
        elif hasattr(hints[name], "_fields"):
            names |= set(hints[name]._fields)
        else:
            names.add(name)
    return {name.removesuffix("_") for name in names}


@pytest.mark.req("I4")
@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_function_has_its_twin(database: Database, schema: str) -> None:
    module = importlib.import_module(f"letterlock.{PLACES.get(schema, schema)}.calls")
    twins = {
        name: function
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__
    }
    with database.superuser() as connection:
        found = connection.execute(ASK, [schema, list(LOGIN_ROLES)]).fetchall()
    in_sql = {name: {a.removeprefix("p_") for a in (names or [])[: len(oids)]} for name, names, oids in found}
    assert set(twins) == set(in_sql)
    assert {name: _arguments(function) for name, function in twins.items()} == in_sql
    assert all(oid in ENCODERS for _, _, oids in found for oid in oids)


@pytest.mark.parametrize("file", functions(), ids=lambda file: file.name)
def test_each_file_is_one_function_with_its_manual_page(file: object) -> None:
    name, text, _ = typing.cast("tuple[str, str, str]", file)
    assert len(re.findall(r"^CREATE OR REPLACE FUNCTION ", text, re.MULTILINE)) == 1
    head = re.match(r"(?:--.*\n)+", text)
    assert head is not None
    assert head[0].startswith(f"-- {name}: ")
    for word in ("Who:", "Promises:", "Locks:", "Raises:"):
        assert word in head[0], word
    owner = "fn_partition" if name == "audit.make_partitions" else f"fn_{name.partition('.')[0]}"
    order = [
        text.index(f"CREATE OR REPLACE FUNCTION {name}"),
        text.index("SECURITY DEFINER SET search_path = ''"),
        text.index(f"ALTER FUNCTION {name} OWNER TO {owner};"),
        text.index(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC;"),
    ]
    assert order == sorted(order)


def test_each_sqlstate_of_ours_is_raised_and_mapped() -> None:
    raised = {state for file in functions() for state in re.findall(r"ERRCODE = '(LL\d+)'", file.text)}
    assert raised == set(OUR_OWN)
    for file in functions():
        head = file.text[: file.text.index("CREATE OR REPLACE")]
        for state in re.findall(r"RAISE EXCEPTION[^;]*ERRCODE = '(\w+)'", file.text):
            assert state in head, file.name
