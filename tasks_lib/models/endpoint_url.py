"""A URL that a user gives, which may hold a login and a query: checked, and shown without them."""

import base64
from typing import Annotated
from urllib.parse import quote, unquote, unquote_plus, urlsplit, urlunsplit

from pydantic import AfterValidator, PlainSerializer

from tasks_lib.models.http_answers import LEAST_LETTERS, redact_url
from tasks_lib.provenance import sha256

__all__ = ["EndpointUrl", "login_spellings", "query_facts", "query_spellings", "without_login"]


class _ShownWithoutLogin(str):
    """The URL as it was given; ``repr``, which is what prints of settings show, leaves out its login and query."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redact_url(self))


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("it does not begin with http:// or https://")
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        # Not what Python says of it: that may hold the password.
        raise ValueError("it names no host, or no number as its port; write / @ : ? # of a password as %2F %40 %3A ...")
    return _ShownWithoutLogin(url)


EndpointUrl = Annotated[str, AfterValidator(_checked), PlainSerializer(redact_url, return_type=str)]
"""A field for an http or https URL, which is written down and shown without its login and query."""


def without_login(url: str) -> tuple[str, str | None]:
    """A URL without its login, and the value of the ``Authorization`` header that says it, if any (RFC 7617)."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    if not login:
        return url, None
    return urlunsplit(parts._replace(netloc=host)), f"Basic {_encoded(login)}"


def _encoded(login: str) -> str:
    user, _, password = login.partition(":")
    return base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def login_spellings(url: str) -> list[str]:
    """A URL's login as it stands there, where some characters are escaped, as it is meant and as it is sent."""
    login = urlsplit(url).netloc.rpartition("@")[0]
    if not login:
        return []
    user, _, password = login.partition(":")
    meant = f"{unquote(user)}:{unquote(password)}"
    secret = password or user
    spellings = (login, meant, secret, unquote(secret), quote(unquote(secret), safe=""), _encoded(login))
    return list(dict.fromkeys(spellings))


def query_facts(url: str) -> dict[str, str]:
    """What a URL's query adds to a model's identity, as it may name the model: its digest, or nothing without one."""
    query = urlsplit(url).query
    return {"query": sha256(query)} if query else {}


def query_spellings(url: str) -> list[str]:
    """The values of a URL's query as they stand there and as they are meant; short ones are no keys."""
    pairs = [pair.partition("=") for pair in urlsplit(url).query.split("&")]
    given = [value or name for name, _, value in pairs]
    spellings = [spelling for text in given for spelling in (text, unquote(text), unquote_plus(text))]
    return [spelling for spelling in dict.fromkeys(spellings) if len(spelling) >= LEAST_LETTERS]
