"""What keeps images from being signed is one sentence before anything is spent, and never shows the key."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from tasks_lib.build import Build
from tasks_lib.errors import MissingExtraError, MissingSecretError, RecipeError, UsageError
from tasks_lib.recipe import Recipe, load_recipe
from tests.certificates import Chain, chain
from tests.endpoint import Endpoint
from tests.recipes import drawn_by, recipe_for

MARKING = {"type": "c2pa", "certificate": "cert.pem"}
DRAWN = {"type": "procedural"}


def build(marking: Any) -> Recipe:
    """Check a recipe as a build does before it asks anything."""
    recipe = load_recipe(drawn_by(DRAWN, ["a cat"], marking=marking))
    Build(recipe).close()
    return recipe


@pytest.fixture
def place(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Chain], None]:
    """Puts a chain where the recipe looks for it."""

    def put(by: Chain) -> None:
        Path("cert.pem").write_text(by.certificates)
        monkeypatch.setenv("C2PA_PRIVATE_KEY", by.private_key)

    return put


def encrypted(by: Chain) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    protected = BestAvailableEncryption(b"secret")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protected).decode()


def without_its_header(by: Chain) -> str:
    return "".join(by.private_key.splitlines()[1:-1])


def as_openssl_writes(by: Chain) -> str:
    """The key in the older form (SEC 1)."""
    key = load_pem_private_key(by.private_key.encode(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def root_first(by: Chain) -> str:
    return by.anchor + by.certificates


def test_certificate_and_key_that_fit_pass(place: Callable[[Chain], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may hold the key itself, with line ends around it, or the path of its file, PKCS 8 or SEC 1."""
    by = chain()
    place(by)
    recipe = build(MARKING)
    assert load_recipe(recipe.model_dump(mode="json")).marking == recipe.marking
    assert recipe.to_yaml().endswith("marking:\n  type: c2pa\n  certificate: cert.pem\n")
    monkeypatch.setenv("C2PA_PRIVATE_KEY", f"\n{by.private_key}\n")
    build(MARKING)
    Path("signer.key").write_text(as_openssl_writes(by))
    monkeypatch.setenv("OTHER_KEY", "signer.key")
    build({**MARKING, "private_key_env": "OTHER_KEY"})


FAULTY_SETTINGS: dict[str, tuple[Any, str]] = {
    "the bare word": ("c2pa", r"marking: write 'iptc' or 'none', or, to sign images, \{type: c2pa, certificate:"),
    "another word": ("exif", r"marking: write 'iptc' or 'none', or"),
    "no kind": ({"certificate": "cert.pem"}, r"marking: write 'iptc' or 'none', or"),
    "no certificate": ({"type": "c2pa"}, r"marking\.certificate: Field required\.$"),
    "a key": (
        {**MARKING, "private_key": "x"},
        r"marking: unknown key 'private_key'; did you mean 'private_key_env'\?$",
    ),
    "algorithm": ({**MARKING, "algorithm": "md5"}, r"marking\.algorithm: Input should be 'es256',"),
    "authority": ({**MARKING, "timestamp_url": "tsa.example"}, r"marking\.timestamp_url: "),
}


@pytest.mark.parametrize("case", sorted(FAULTY_SETTINGS))
def test_wrong_settings_say_what_to_write(case: str) -> None:
    """A marking that cannot be is told in one sentence that names the key and what it may be."""
    marking, told = FAULTY_SETTINGS[case]
    with pytest.raises(RecipeError, match=told):
        load_recipe(drawn_by(DRAWN, ["a cat"], marking=marking))


def test_a_key_in_place_of_its_variable_is_not_shown() -> None:
    """Whoever writes the key into the recipe reads what to write instead, and the key appears nowhere."""
    key = chain().private_key
    with pytest.raises(RecipeError, match=r"marking\.private_key_env: write the name of an environment") as caught:
        load_recipe(drawn_by(DRAWN, ["a cat"], marking={**MARKING, "private_key_env": key}))
    shown = "".join(traceback.format_exception(caught.value))
    assert not [line for line in key.splitlines()[1:-1] if line[:20] in shown]


FAULTY_FILES: dict[str, tuple[Chain, Callable[[Chain], str] | None, Callable[[Chain], str] | None, str]] = {
    "no certificate": (chain(), lambda _: "hello", None, r"cert\.pem does not hold certificates in PEM\.$"),
    "the key as certificate": (chain(), lambda by: by.private_key, None, r"does not hold certificates in PEM\.$"),
    "another's key": (
        chain(),
        None,
        lambda _: chain().private_key,
        r"the key in C2PA_PRIVATE_KEY does not belong to the first certificate of cert\.pem \(.*CN=signer.*\)",
    ),
    "issuer first": (chain(), root_first, None, r"CN=authority.*the signer's own certificate stands first"),
    "expired": (chain(days=(-9, -1)), None, None, r"'CN=signer,.*' in cert\.pem expired on \d{4}-.* UTC; renew it"),
    "not yet valid": (chain(days=(1, 9)), None, None, r"cert\.pem is not valid before \d{4}-"),
    "another curve": (
        chain(ec.generate_private_key(ec.SECP384R1())),
        None,
        None,
        r"marking\.algorithm: the key in C2PA_PRIVATE_KEY cannot sign with es256; write algorithm: es384\.$",
    ),
    "RSA": (chain(rsa.generate_private_key(65537, 2048)), None, None, r"write algorithm: ps256 or ps384 or ps512\.$"),
    "DSA": (chain(dsa.generate_private_key(2048)), None, None, r"C2PA has no algorithm for such a key\.$"),
    "no purpose of C2PA's": (
        chain(purpose=ExtendedKeyUsageOID.SERVER_AUTH),
        None,
        None,
        r"signing a test image with cert\.pem failed: .*certificate is invalid; .*C2PA asks for .* document signing\.$",
    ),
    "no key": (chain(), None, lambda _: " ", r"the environment variable C2PA_PRIVATE_KEY is not set; set it to"),
    "no path": (chain(), None, without_its_header, r"holds neither a private key in PEM nor the path of a file"),
    "a folder": (chain(), None, lambda _: ".", r"holds neither a private key in PEM nor the path of a file"),
    "a certificate as key": (chain(), None, lambda by: by.anchor, r"does not lead to a private key in PEM"),
    "passphrase": (chain(), None, encrypted, r"does not lead to a private key in PEM without a passphrase\.$"),
}


@pytest.mark.parametrize("case", sorted(FAULTY_FILES))
def test_what_does_not_fit_is_one_sentence_without_the_key(
    place: Callable[[Chain], None], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Certificate, key and algorithm that do not fit are named; no line of the key is in message or traceback."""
    by, certificates, key, told = FAULTY_FILES[case]
    place(by)
    if certificates:
        Path("cert.pem").write_text(certificates(by))
    held = key(by) if key else by.private_key
    monkeypatch.setenv("C2PA_PRIVATE_KEY", held)
    with pytest.raises(UsageError, match=told) as caught:
        build(MARKING)
    assert str(caught.value).count(". ") == 0
    shown = "".join(traceback.format_exception(caught.value))
    if case not in ("a certificate as key", "a folder", "no key"):
        assert not [line for line in held.splitlines() if line in shown and "-----" not in line]


def test_a_certificate_that_is_not_there(place: Callable[[Chain], None]) -> None:
    """The file is named with the reason."""
    place(chain())
    with pytest.raises(RecipeError, match=r"marking\.certificate: nowhere\.pem cannot be read: No such file"):
        build({**MARKING, "certificate": "nowhere.pem"})


def test_a_variable_that_is_not_set(place: Callable[[Chain], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and what to put into it are named."""
    place(chain())
    monkeypatch.delenv("C2PA_PRIVATE_KEY")
    with pytest.raises(MissingSecretError, match=r"variable C2PA_PRIVATE_KEY is not set; set it to the key in PEM or"):
        build(MARKING)


@pytest.mark.parametrize("library", ["c2pa", "cryptography"])
def test_a_missing_library_names_the_extra(
    place: Callable[[Chain], None], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """Without the library, the message is the command that installs it."""
    place(chain())
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"marking: c2pa needs .* pip install 'imageloom\[c2pa\]'"):
        build(MARKING)


def test_nothing_is_asked_of_the_model(in_folder: Path, endpoint: Endpoint) -> None:
    """A key that is missing ends the build before the first image is paid for, and before a folder is made."""
    Path("cert.pem").write_text(chain().certificates)
    recipe = load_recipe(recipe_for(endpoint, ["a cat"], marking={**MARKING, "private_key_env": "NOT_SET_AT_ALL"}))
    with pytest.raises(MissingSecretError, match="NOT_SET_AT_ALL"):
        Build(recipe)
    assert not endpoint.calls
    assert [path.name for path in Path().iterdir()] == ["cert.pem"]
