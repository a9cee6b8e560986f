"""Passwords from a folder, from one variable of JSON, and as ready verifiers."""

import json

import pytest

from ringfence.schema.documents import Document
from ringfence.schema.grants import passwords
from ringfence.schema.manifest.model import Account, Origin, PasswordSource
from ringfence.schema.manifest.parsing import parse_manifest

ACCOUNTS = [
    Account("backend-api", "api-1", (), Origin("access.yaml", 3)),
    Account("till", "till", (), Origin("access.yaml", 9)),
]


def revealed(found):
    return {login: secret.reveal() for login, secret in found.items()}


def test_a_folder_holds_a_file_per_account(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "API_1").write_text("one\n")
    (tmp_path / "secrets" / "TILL").write_text("two\n")
    source = PasswordSource("secrets", "{LOGIN}")
    found = passwords.from_environment(ACCOUNTS, {"TILL_DB_PASS": "three"}, source, tmp_path)
    assert revealed(found) == {"api-1": "one", "till": "three"}
    (tmp_path / "secrets" / "API_1").unlink()
    with pytest.raises(passwords.MissingPasswords, match=r"API_1: No such file.*access.yaml:3"):
        passwords.from_environment(ACCOUNTS, {}, source, tmp_path)


def test_one_variable_of_json_names_logins_or_services():
    source = PasswordSource(variable="ALL")
    env = {"ALL": json.dumps({"backend-api": "one", "till": "two"})}
    assert revealed(passwords.from_environment(ACCOUNTS, env, source)) == {"api-1": "one", "till": "two"}
    assert passwords.given(ACCOUNTS, env, source)
    assert not passwords.given(ACCOUNTS, {}, source)


@pytest.mark.parametrize("text", ["hush", '["hush"]', '{"till": {"hush": 1}}'])
def test_an_invalid_json_of_passwords_is_reported_without_its_text(text):
    with pytest.raises(passwords.MissingPasswords, match="ALL: is no JSON object") as raised:
        passwords.from_environment(ACCOUNTS, {"ALL": text}, PasswordSource(variable="ALL"))
    assert "hush" not in str(raised.value)


def test_a_ready_verifier_is_stored_as_it_is():
    verifier = passwords.scram_verifier("quite secret")
    assert passwords.scram_verifier(verifier) == verifier
    assert passwords.matches_verifier(verifier, verifier)
    assert not passwords.matches_verifier(passwords.scram_verifier("quite secret"), verifier)
    assert passwords.matches_verifier("quite secret", verifier)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{dir: a, json: B}", "either `dir:`"),
        ("{key: '{login}'}", "either `dir:`"),
        ("{dir: a, key: plain}", "is not a template of file names"),
        ("{dir: a, key: '../{login}'}", "is not a template of file names"),
        ("{dir: a, file: b}", "has no key 'file'"),
    ],
)
def test_a_mistake_has_its_line(given, told):
    document = Document("access.yaml", f"version: 1\npasswords: {given}\naccounts: {{a: {{tables: {{}}}}}}\n")
    parse_manifest(document)
    assert [m.line for m in document.mistakes if told in m.message] == [2]
