"""Names that secrets have, and what bears them: keys, headers, arguments, variables."""

from __future__ import annotations

import pytest

from dlthub_project.secrets import (
    Redactor,
    is_secret_name,
    masked_text,
    may_name_secret,
    names_secret_variable,
    shown,
)

NAMES = [
    "password",
    "DB_PASSWORD",
    "passphrase",
    "pass",
    "db_pass",
    "passwd",
    "PWD",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "X-Api-Key",
    "api_key",
    "apiKey",
    "accessKeyId",
    "private_key",
    "storage_key",
    "license_key",
    "encryption-key",
    "ssh_key",
    "key",
    "auth",
    "oauth",
    "oauth2",
    "authentication",
    "basic_auth",
    "Authorization",
    "bearer",
    "cookie",
    "credentials",
    "credential",
    "dsn",
    "connection_string",
    "conn_str",
    "connectionString",
    "pat",
    "github_pat",
    "sas",
    "sas_url",
    "azure_sas_url",
    "sig",
    "signature",
    "jwt",
    "salt",
    "password_salt",
    "dbPass",
    "dbpass",
    "pass1",
    "passWord",
    "basicAuth",
    "httpauth",
    "myPat",
    "blobSas",
    "X-Auth-Token",
    "Ocp-Apim-Subscription-Key",
    "X-Functions-Key",
    "master_key",
    "AccountKey",
    "SharedAccessSignature",
    "X-Amz-Signature",
    "SOURCES__SHOP__KEY",
    "shop.key",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_secrets_have_is_one_everywhere(name: str) -> None:
    assert is_secret_name(["sources", name])
    assert may_name_secret(f"  {name}: value")
    assert shown({name: "value-4711", "n": 1}) == f"{{{name}: ***, n: 1}}"
    assert shown([{"a": {name: ["value-4711"]}}]) == f"[{{a: {{{name}: [***]}}}}]"
    assert Redactor().redacted(f"{name}=value-4711 n=1") == f"{name}=*** n=1"
    assert Redactor().redacted({"a": [{name: "value-4711"}]}) == {"a": [{name: "***"}]}
    assert masked_text(f"https://x.invalid/?{name}=value&n=1") == (
        f"https://x.invalid/?{name}=***&n=1"
    )


@pytest.mark.parametrize("name", ["connection string", "Connection String", "Account Key"])
def test_a_name_may_have_spaces(name: str) -> None:
    assert is_secret_name([name])
    assert may_name_secret(f"the {name} is here")
    assert shown({name: "value-4711"}) == f"{{{name}: ***}}"


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "authors",
        "authorName",
        "authority",
        "keyboard",
        "primary_key",
        "primaryKey",
        "merge_key",
        "passenger",
        "pass_rate",
        "path",
        "map_key",
    ],
)
def test_a_name_of_other_things_is_none(name: str) -> None:
    assert not is_secret_name([name])
    assert shown({name: "value"}) == f"{{{name}: value}}"
    assert Redactor().redacted(f"{name}=value") == f"{name}=value"


@pytest.mark.parametrize("text", ["author: ada", "passenger: ada", "sort-key: ada", "mypass: ada"])
def test_a_line_without_its_meaning_is_masked_too_much_rather_than_too_little(text: str) -> None:
    assert may_name_secret(text)


@pytest.mark.parametrize("text", ["keyboard: de", "primary_key: id", "path: ./data"])
def test_a_line_of_other_things_names_no_secret(text: str) -> None:
    assert not may_name_secret(text)


def test_a_variable_with_a_name_of_secrets_is_found_at_any_depth() -> None:
    assert names_secret_variable({"a": ["x-{env.SHOP__KEY}"]})
    assert not names_secret_variable({"key": ["x-{env.SHOP_AUTHOR}"]})
