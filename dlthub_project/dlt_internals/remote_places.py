"""Where a resolved configuration of a destination leads to over a network, and what changes that.

A URL has host, port and database, or the bucket. Its parameters, arguments of the driver and
variables that the driver reads may lead to another server.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Mapping
from inspect import getclosurevars
from typing import Any
from urllib.parse import parse_qsl, quote, urlparse

_DEFAULT_PORTS = {
    "cockroachdb": 26257,
    "mariadb": 3306,
    "mssql": 1433,
    "mysql": 3306,
    "postgres": 5432,
    "postgresql": 5432,
    "redshift": 5439,
}
_POSTGRES = ("postgres", "postgresql", "redshift", "cockroachdb")
_MYSQL = ("mysql", "mariadb")

# parameters that say who connects, and how: all others may lead elsewhere, as `hostaddr` does
_WHO_AND_HOW = """
    application application_name authenticator autocommit channel_binding charset check_same_thread
    client_encoding client_flag client_session_keep_alive compress connect_timeout
    connection_timeout driver encrypt fallback_application_name fastexecutemany gssencmode
    keepalives keepalives_count
    keepalives_idle keepalives_interval local_infile longasmax passfile passwd password read_timeout
    role secure send_receive_timeout sslcert sslcertmode sslcompression sslcrl sslkey sslmode
    sslnegotiation sslpassword sslrootcert ssl ssl_ca ssl_cert ssl_disabled ssl_key ssl_mode
    ssl_verify_cert ssl_verify_identity tcp_user_timeout timeout trustservercertificate uid user
    use_unicode username verify warehouse write_timeout
"""
_HARMLESS = frozenset(_WHO_AND_HOW.split())
# their values are shown; those of others may be secret
_WHERE = """
    account account_host account_name catalog database db dbname dsn endpoint_url host hostaddr
    http_path lakehouse path port project_id query_result_bucket read_default_file
    read_default_group schema server server_hostname service socket unix_socket
"""
_SHOWN = frozenset(_WHERE.split())

# object stores: the part before the path is the bucket
_STORES = ("s3", "s3a", "gs", "gcs", "az", "adl", "abfs", "abfss", "wasb", "wasbs", "memory")
# for these, the path begins with the bucket
_SERVERS = ("sftp", "ssh", "smb", "hf", "github", "gdrive", "webhdfs", "hdfs", "ftp")
# of the file system, and which one a client of it asks without a parameter
_ENDPOINT_VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
    "gcs": ("STORAGE_EMULATOR_HOST",),
}
# settings that lead elsewhere, of configurations without a host, and that dlt's fingerprint lacks
_OTHER_ATTRIBUTES = (
    "server_hostname",
    "http_path",
    "catalog",
    "project_id",
    "aws_data_catalog",
    "query_result_bucket",
    "lakehouse",
    "path",
)


def remote_place(config: Any) -> str:
    """Return where a resolved configuration leads to: a URL without user and password.

    It has host, port and database of a server, or a bucket with the folder in it; it may be empty.
    Parameters follow that may lead elsewhere.
    """
    credentials: Any = getattr(config, "credentials", None)
    if bucket := getattr(config, "bucket_url", None):
        url = urlparse(str(bucket))
        folder, leading = url.path.rstrip("/"), _of_bucket(url, credentials)
        return f"{url.scheme}://{_container(url)}{folder}{_parameters(leading)}"
    if host := getattr(credentials, "host", None):
        scheme = str(getattr(credentials, "drivername", None) or config.destination_type)
        port = getattr(credentials, "port", None) or _DEFAULT_PORTS.get(scheme.partition("+")[0])
        database = getattr(credentials, "database", None) or ""
        where = f"{host}:{port}" if port else str(host)
        leading = {**_query(credentials), **_driver_arguments(config)}
        return f"{scheme}://{where}/{database}{_parameters(leading)}"
    try:
        fingerprint = str(config.fingerprint())
    except Exception:
        # some need what is missing
        return ""
    leading = {**_query(credentials), **_driver_arguments(config)}
    for name in _OTHER_ATTRIBUTES:
        value = getattr(config, name, None) or getattr(credentials, name, None)
        if isinstance(value, str):
            leading[name] = value
    kind = config.destination_type
    return f"{kind}://{fingerprint}{_parameters(leading)}" if fingerprint else ""


def _container(url: Any) -> str:
    """Return the bucket of a URL; `abfss://container@account` has it before the account."""
    netloc = str(url.netloc)
    return netloc if url.scheme in _STORES else netloc.rpartition("@")[2]


def _of_bucket(url: Any, credentials: Any) -> dict[str, str]:
    """Return the settings that say which server has a bucket of this name."""
    found = {}
    names = {"azure_storage_account_name": "account_name", "azure_account_host": "account_host"}
    for attribute, name in {"endpoint_url": "endpoint_url", **names}.items():
        if value := getattr(credentials, attribute, None):
            found[name] = str(value)
    if "endpoint_url" not in found:
        # a client that is given no URL looks there
        variables = _ENDPOINT_VARIABLES.get(url.scheme, ())
        if value := next(filter(None, map(os.environ.get, variables)), None):
            found["endpoint_url"] = value
    return found


def _query(credentials: Any) -> dict[str, Any]:
    query = getattr(credentials, "query", None) or {}
    return {name: value for name, value in query.items() if name.lower() not in _HARMLESS}


def _driver_arguments(config: Any) -> dict[str, Any]:
    """Return the further arguments of SQLAlchemy for the driver that may lead elsewhere."""
    found: dict[str, Any] = {}
    credentials = getattr(config, "credentials", None)
    for source in (config, credentials):
        for name in ("engine_kwargs", "engine_args"):
            arguments = getattr(source, name, None)
            if isinstance(arguments, Mapping):
                found.update(arguments.get("connect_args") or {})
    found.update(_arguments_of_engine(getattr(credentials, "_external_engine", None)))
    return {name: value for name, value in found.items() if name.lower() not in _HARMLESS}


def _arguments_of_engine(engine: Any) -> Iterator[tuple[str, Any]]:
    creator = getattr(getattr(engine, "pool", None), "_creator", None)
    if creator is None or creator.__module__ != "sqlalchemy.engine.create":
        return
    of_url = engine.dialect.create_connect_args(engine.url)[1]
    given = getclosurevars(creator).nonlocals.get("cparams") or {}
    for name, value in given.items():
        if name not in of_url or of_url[name] != value:
            yield name, value


def _parameters(leading: Mapping[str, Any]) -> str:
    """Return parameters as they follow a URL, with digests for values that may be secret."""
    shown = []
    for name in sorted(leading, key=str.lower):
        value = str(leading[name])
        if name.lower() not in _SHOWN:
            value = "~" + hashlib.sha256(value.encode()).hexdigest()[:8]
        elif "://" in value:
            value = _without_user(value)
        shown.append(f"{name.lower()}={quote(value, safe='/:.,@~')}")
    return "?" + "&".join(shown) if shown else ""


def _without_user(value: str) -> str:
    url = urlparse(value)
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()


def leads_into(here: str, place: str) -> bool:
    """Tell whether a URL leads to a place. Scheme and user count for buckets alone.

    Args:
        here: The URL.
        place: The place: a database; or a bucket, or a folder of one, with all that is in it.
    """
    is_same = _comparable(here) == _comparable(place) != ()
    return is_same and _folder(here).startswith(_folder(place))


def _comparable(place: str) -> tuple[Any, ...]:
    if "://" not in place:
        return ()
    url = urlparse(place)
    dialect = url.scheme.partition("+")[0]
    parameters = parse_qsl(url.query, keep_blank_values=True)
    leading = tuple(
        sorted((name.lower(), value) for name, value in parameters if name.lower() not in _HARMLESS)
    )
    if dialect in _STORES:
        return (dialect, _container(url), leading)
    host = _host(url.hostname or "")
    if dialect in _SERVERS:
        return (dialect, host, url.port, leading)
    port = url.port or _DEFAULT_PORTS.get(dialect)
    # without a port, each has its own
    family = dialect if port is None else ""
    return (family, host, port, url.path.strip("/"), leading)


def _folder(place: str) -> str:
    """Return the folder of a bucket that a URL leads to, with slashes around it."""
    url = urlparse(place)
    if url.scheme.partition("+")[0] not in (*_STORES, *_SERVERS):
        return "/"
    return posixpath.join(posixpath.normpath(f"/{url.path.strip('/')}"), "")


def _host(name: str) -> str:
    lower = name.lower()
    return "127.0.0.1" if lower in ("localhost", "::1", "ip6-localhost") else lower


def connects_by_code(config: Any) -> bool:
    """Tell whether code of the user makes SQLAlchemy's connections: it may ignore the URL."""
    credentials = config.credentials
    for arguments in ("engine_kwargs", "engine_args"):
        for source in (config, credentials):
            if {"creator", "pool", "module"} & {*(getattr(source, arguments, None) or {})}:
                return True
    engine = getattr(credentials, "_external_engine", None)
    if engine is None:
        # the engine that will be made has the listeners of all engines
        return _is_listened_to(credentials.to_url().get_dialect()())
    creator = getattr(getattr(engine, "pool", None), "_creator", None)
    if creator is not None and creator.__module__ != "sqlalchemy.engine.create":
        return True
    return _is_listened_to(engine.dialect)


def _is_listened_to(dialect: Any) -> bool:
    """Tell whether a listener may connect, or change what the driver is given."""
    return bool(tuple(getattr(dialect.dispatch, "do_connect", ())))


def variable_that_moves(config: Any) -> str | None:
    """Return an environment variable that sends the driver elsewhere than the URL says.

    If a variable names an address, a service or a socket, nobody can say where that is.
    """
    credentials: Any = getattr(config, "credentials", None)
    scheme = str(getattr(credentials, "drivername", None) or "")
    dialect, _, driver = scheme.partition("+")
    host = str(getattr(credentials, "host", None) or "")
    query = {str(name).lower() for name in getattr(credentials, "query", None) or ()}
    query |= {name.lower() for name in _driver_arguments(config)}
    port, database = getattr(credentials, "port", None), getattr(credentials, "database", None)
    moving: dict[str, bool] = {}
    if dialect in _POSTGRES and driver != "pg8000":
        moving = {
            "PGSERVICE": "service" not in query,
            "PGHOSTADDR": "hostaddr" not in query and _host(host) != _host(_value("PGHOSTADDR")),
            "PGHOST": not host and "host" not in query,
            "PGPORT": not port and "port" not in query,
            "PGDATABASE": not database and not query & {"dbname", "database"},
        }
    elif dialect in _MYSQL and driver != "pymysql":
        is_socket = _host(host or "localhost") == "127.0.0.1" and "unix_socket" not in query
        moving = {"MYSQL_UNIX_PORT": is_socket, "MYSQL_TCP_PORT": not port}
    return next((name for name, moves in moving.items() if moves and _value(name)), None)


def _value(variable: str) -> str:
    return os.environ.get(variable, "")
