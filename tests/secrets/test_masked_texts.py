"""Secrets that nobody knows, in texts: by names, by shapes, in URLs."""

from __future__ import annotations

import pytest

from dlthub_project.secrets import (
    Redactor,
    looks_secret,
    masked_text,
    public_url,
    shown,
    without_parts,
)

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"

# a text, and what is shown of it
MASKED = {
    # URLs
    "postgresql://ada:p%40ss%2Fw@db.invalid/x": "postgresql://ada:***@db.invalid/x",
    "postgresql://ada:p@ss/w@db.invalid/x": "postgresql://ada:***@db.invalid/x",
    "postgresql://ada@server:pw@db.invalid/x": "postgresql://ada@server:***@db.invalid/x",
    "redis://:pw@db.invalid/0": "redis://:***@db.invalid/0",
    "https://0a1b2c3d4e5f60718293a4b5c6d7e8f9@x.invalid/1": "https://***@x.invalid/1",
    "https://x.invalid/b?sv=1&sig=a%2Fb%3D&se=2": "https://x.invalid/b?sv=1&sig=***&se=2",
    "https://x.invalid/b?X-Amz-Credential=a&X-Amz-Signature=b&n=1": (
        "https://x.invalid/b?X-Amz-Credential=***&X-Amz-Signature=***&n=1"
    ),
    "https://x.invalid/b?api%5Fkey=a&n=1": "https://x.invalid/b?api%5Fkey=***&n=1",
    "https://x.invalid/#access_token=a": "https://x.invalid/#access_token=***",
    "url=https://x.invalid/?token=a&n=1": "url=https://x.invalid/?token=***&n=1",
    "get('https://x.invalid/?token=a')": "get('https://x.invalid/?token=***')",
    # strings of connections
    "host=db user=ada password=pw dbname=x": "host=db user=ada password=*** dbname=x",
    "host=db password='two words' dbname=x": "host=db password='***' dbname=x",
    "host=db password = 'it\\'s' dbname=x": "host=db password = '***' dbname=x",
    "AccountName=a;AccountKey=b/c==;X=d": "AccountName=a;AccountKey=***;X=d",
    "Endpoint=sb://x;SharedAccessKey=b=": "Endpoint=sb://x;SharedAccessKey=***",
    "Driver=x;PWD={a;b};Server=c": "Driver=x;PWD=***;Server=c",
    "Driver=x;PWD={a": "Driver=x;PWD=***",
    "DRIVER=x;UID=ada;PWD=a,b(c;Server=d": "DRIVER=x;UID=ada;PWD=***;Server=d",
    # headers
    "X-Api-Key: abc": "X-Api-Key: ***",
    "Authorization: ApiKey abc": "Authorization: ***",
    "Proxy-Authorization: Digest username=a, response=b": "Proxy-Authorization: ***",
    'Authorization: Digest username="a", response="b"': "Authorization: ***",
    "Cookie: theme=dark; sid=abc": "Cookie: ***",
    "sent Authorization: Bearer abc.def-ghi of order 7": "sent Authorization: *** of order 7",
    # JSON and Python
    '{"private_key": "a\\"b", "n": 1}': '{"private_key": "***", "n": 1}',
    "{'api_key': 'abc', 'n': 1}": "{'api_key': '***', 'n': 1}",
    '"{\\"token\\": \\"abc\\", \\"n\\": 1}"': '"{\\"token\\": \\"***\\", \\"n\\": 1}"',
    "Credentials(password=abc, host=db)": "Credentials(password=***, host=db)",
    # by their shape
    "no access with ghp_a1b2c3d4e5": "no access with ***",
    "no access with github_pat_a1b2c3d4e5": "no access with ***",
    "no access with eyJhbGciOi.eyJzdWIi.c2ln": "no access with ***",
    "no access with xoxb-1234567-ab": "no access with ***",
    f"no access with {PEM} today": "no access with *** today",
}


@pytest.mark.parametrize("text", MASKED)
def test_a_secret_of_a_text_is_masked_and_the_rest_is_shown(text: str) -> None:
    assert masked_text(text) == MASKED[text]
    # whoever shows or keeps a value shows the same of it
    assert Redactor().redacted([text]) == [MASKED[text]]
    assert shown(text) == MASKED[text]
    assert shown({"a": [text]}) == shown({"a": [MASKED[text]]})


@pytest.mark.parametrize("part", ["://a:", "a_b-", "x=\\", "{b"])
def test_a_text_of_one_long_word_is_masked_to_its_end(part: str) -> None:
    # a pattern that begins anew at every letter takes minutes for it
    long = part * 20_000

    assert " password=*** " in masked_text(f"{long} password=pw {long}")


@pytest.mark.parametrize(
    "text",
    [
        "table orders, column id: 5",
        "postgresql://ada@db.invalid:5432/x?sslmode=require",
        "s3://bucket/folder/file.csv",
        "abfss://box@acc.invalid/lake",
        "primary_key: id, merge_key: [a, b]",
        "version 4f8d2c1e9b7a6530ffee",
        "scikit: sk-learn",
        "me@x.invalid and you@x.invalid",
        "at 12:30, path /data/2024:10/a",
        "",
    ],
)
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text
    assert shown(text) == text


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("snowflake://u:p/w@acc.invalid/db", "snowflake://***@acc.invalid/db"),
        (
            "postgresql://u:p%2Fw@db.invalid:5432/x?sslmode=off",
            "postgresql://***@db.invalid:5432/x",
        ),
        ("postgresql://u:p#w@db.invalid/x", "postgresql://***"),
        ("az://box@acc.invalid/b?sv=1&sig=SECRET", "az://box@acc.invalid/b"),
        ("https://x.invalid/b;AccountKey=SECRET", "https://x.invalid/b"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("/data/lake?token=SECRET", "/data/lake"),
        ("u:pw@db.invalid/x", "***"),
        ("https://TOKEN@x.invalid/b", "https://***@x.invalid/b"),
        ("az://box:SECRET@acc.invalid/b", "az://***@acc.invalid/b"),
        ("postgresql://ada@server:SECRET@db.invalid/x", "postgresql://***@db.invalid/x"),
        ("/data/ada@home/lake?token=SECRET", "/data/ada@home/lake"),
        ("C:\\data\\ada@home", "C:\\data\\ada@home"),
    ],
)
def test_what_is_shown_of_a_place_has_no_secret(url: str, public: str) -> None:
    assert public_url(url) == public


def test_several_urls_of_a_text_are_masked() -> None:
    text = "from mysql://a:pw-1@x.invalid/d to postgresql://b:p/w-2@y.invalid/d?password=pw-3"

    assert masked_text(text) == (
        "from mysql://a:***@x.invalid/d to postgresql://b:***@y.invalid/d?password=***"
    )


@pytest.mark.parametrize(
    "text",
    [
        "url: postgresql://u:pw@db.invalid/x",
        "value: ghp_a",
        "value: eyJhbGciOi",
        "value: 4f8d2c1e9b7a6530ffee",
        "-----BEGIN KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_one_whatever_it_is_called(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize("text", ["path: ./data/2024/orders_of_2024.csv", "a: {env.TOKEN_1}"])
def test_paths_and_variables_do_not_look_like_secrets(text: str) -> None:
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("text", "parts", "left"),
    [
        ("abcdef", ["abcd", "cdef"], "***"),
        ("ababab", ["abab"], "***"),
        ("a b a", ["a", ""], "*** b ***"),
        ("a b", ["c"], "a b"),
    ],
)
def test_of_parts_that_overlap_nothing_is_left(text: str, parts: list[str], left: str) -> None:
    assert without_parts(text, parts) == left
