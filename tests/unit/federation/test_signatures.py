"""Signatures between servers: what was signed holds, and nothing else does."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from artdag_common.errors import ConfigurationError, SignatureError
from artdag_common.federation.signatures import (
    TOLERANCE_SECONDS,
    key_id_of,
    new_key,
    private_key,
    public_key,
    public_pem,
    read_key,
    sign,
    verify,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY_ID = "https://l2.example/actor#main-key"
URL = "https://l1.example/auth/revoke?a=1"
BODY = b'{"token_hash": "ab"}'
PEM = new_key()
KEY = private_key(PEM)
OTHER = private_key(new_key())
KEYS = {KEY_ID: KEY.public_key()}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}

Lines = list[tuple[str, str]]


def signed(key: rsa.RSAPrivateKey = KEY, key_id: str = KEY_ID, now: datetime = NOW) -> Lines:
    return list(sign(key, key_id, "POST", URL, HEADERS, BODY, now).items())


SIGNED = signed()


def changed(lines: Lines, name: str, value: str | None) -> Lines:
    """Return headers with another value; None: without the header."""
    return [(n, v if n != name else value) for n, v in lines if n != name or value is not None]


def value_of(lines: Lines, name: str) -> str:
    return dict(lines)[name]


def refused(lines: Lines, method: str = "POST", url: str = URL, body: bytes = BODY, now: datetime = NOW) -> str:
    with pytest.raises(SignatureError) as error:
        verify(KEYS, method, url, lines, body, now)
    return error.value.message


def test_what_was_signed_holds() -> None:
    found = verify(KEYS, "POST", URL, SIGNED, BODY, NOW)
    assert (found.key_id, found.created, len(found.digest)) == (KEY_ID, int(NOW.timestamp()), 64)
    assert key_id_of(SIGNED) == KEY_ID
    assert verify(KEYS, "POST", URL, dict(SIGNED), BODY, NOW) == found


def test_no_two_signatures_are_the_same() -> None:
    """Repeating a request signs it anew, so that it is not taken for a replay."""
    digests = {verify(KEYS, "POST", URL, signed(), BODY, NOW).digest for _ in range(3)}
    assert len(digests) == 3


def test_the_same_signature_written_otherwise_is_the_same() -> None:
    renamed = [(n, v.replace("sig1=", "other=") if n.startswith("Signature") else v) for n, v in SIGNED]
    assert verify(KEYS, "POST", URL, renamed, BODY, NOW).digest == verify(KEYS, "POST", URL, SIGNED, BODY, NOW).digest


def test_the_order_and_case_of_headers_do_not_matter() -> None:
    assert verify(KEYS, "POST", URL, [(n.upper(), v) for n, v in reversed(SIGNED)], BODY, NOW)


@given(st.binary(max_size=200).filter(lambda body: body != BODY))
def test_another_body_is_refused(body: bytes) -> None:
    refused(SIGNED, body=body)


@given(st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "post", "POST ", ""]))
def test_another_method_is_refused(method: str) -> None:
    refused(SIGNED, method=method)


@given(
    st.sampled_from(
        [
            "http://l1.example/auth/revoke?a=1",
            "https://l1.example:8443/auth/revoke?a=1",
            "https://l1.example.org/auth/revoke?a=1",
            "https://l1.example/auth/revoke",
            "https://l1.example/auth/revoke?a=2",
            "https://l1.example/auth/revoke?a=1&a=1",
            "https://l1.example/auth/revoke-user?a=1",
            "https://l1.example//auth/revoke?a=1",
            "https://l1.example/auth/./revoke?a=1",
        ]
    )
    | st.from_regex(r"https://l1\.example/[a-z]{1,8}\?a=1", fullmatch=True)
)
def test_another_address_is_refused(url: str) -> None:
    refused(SIGNED, url=url)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_byte_changed_in_a_signed_header_is_refused(data: st.DataObject) -> None:
    """Whatever is covered, or says what is covered. What the change means the same as before still holds."""
    names = ["Content-Digest", "Content-Type", "Signature-Input", "Signature"]
    name = data.draw(st.sampled_from(names))
    before = value_of(SIGNED, name)
    place = data.draw(st.integers(0, len(before) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != before[place]))
    lines = changed(SIGNED, name, before[:place] + letter + before[place + 1 :])
    if name.startswith("Signature") and place < len("sig1"):  # the label is nothing that is signed
        refused(lines)
        return
    try:
        found = verify(KEYS, "POST", URL, lines, BODY, NOW)
    except SignatureError:
        return
    assert found == verify(KEYS, "POST", URL, SIGNED, BODY, NOW), "another signature holds"
    assert name == "Signature", "only the last letter of base64 has bits that mean nothing"


@pytest.mark.parametrize("name", ["Content-Digest", "Content-Type", "Signature-Input", "Signature"])
def test_a_header_that_is_missing_or_twice_is_refused(name: str) -> None:
    refused(changed(SIGNED, name, None))
    again = "Tue, 20 Apr 2021 02:07:55 GMT" if name == "Date" else value_of(SIGNED, name)
    assert "more than once" in refused([*SIGNED, (name.lower(), again)])


@pytest.mark.parametrize("name", ["Host", "Date"])
def test_two_lines_that_readers_could_choose_between_are_refused(name: str) -> None:
    assert "more than once" in refused([*SIGNED, (name, "a"), (name.lower(), "b")])


def test_a_header_that_is_not_signed_may_be_added() -> None:
    assert verify(KEYS, "POST", URL, [*SIGNED, ("X-Forwarded-For", "1.2.3.4")], BODY, NOW)


@given(st.integers(-3 * TOLERANCE_SECONDS, 3 * TOLERANCE_SECONDS))
def test_clocks_may_be_a_quarter_of_an_hour_apart(seconds: int) -> None:
    there = NOW + timedelta(seconds=seconds)
    if abs(seconds) <= TOLERANCE_SECONDS:
        assert verify(KEYS, "POST", URL, SIGNED, BODY, there)
    else:
        assert "check the clocks" in refused(SIGNED, now=there)


@pytest.mark.parametrize(
    "created", ["", "created=1767323045.5;", 'created="1767323045";', "created=-1;", "created=?1;"]
)
def test_a_time_that_is_none_is_refused(created: str) -> None:
    lines = changed(SIGNED, "Signature-Input", re.sub(r"created=\d+;", created, value_of(SIGNED, "Signature-Input")))
    refused(lines)


@pytest.mark.parametrize(
    "covered",
    [
        '("@method" "@target-uri")',
        '("@target-uri" "content-digest")',
        '("@method" "content-digest")',
        '("@method" "@path" "content-digest")',
        '("@method" "@target-uri" "content-digest";bs)',
        "()",
    ],
)
def test_a_signature_over_too_little_is_refused(covered: str) -> None:
    """Even where it is right: the signer signed just that."""
    parameters = f'{covered};created={int(NOW.timestamp())};keyid="{KEY_ID}"'
    values = {
        '"@method"': "POST",
        '"@target-uri"': URL,
        '"@path"': "/auth/revoke",
        '"content-digest"': value_of(SIGNED, "Content-Digest"),
        '"content-digest";bs': ":" + base64.b64encode(value_of(SIGNED, "Content-Digest").encode()).decode() + ":",
    }
    base = "".join(f"{each}: {values[each]}\n" for each in covered[1:-1].split()) + f'"@signature-params": {parameters}'
    from cryptography.hazmat.primitives.asymmetric import padding

    signature = base64.b64encode(KEY.sign(base.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    lines = changed(changed(SIGNED, "Signature-Input", f"sig1={parameters}"), "Signature", f"sig1=:{signature}:")
    assert "not covered" in refused(lines)


def test_another_key_is_refused() -> None:
    assert "does not hold" in refused(signed(OTHER))
    assert "verification key" in refused(signed(OTHER, "https://l2.example/users/mallory#main-key"))


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "rsa-pss-sha512", "ed25519", "ecdsa-p256-sha256", "none", ""])
def test_the_signer_does_not_choose_the_algorithm(algorithm: str) -> None:
    given = value_of(SIGNED, "Signature-Input").replace('alg="rsa-v1_5-sha256"', f'alg="{algorithm}"')
    refused(changed(SIGNED, "Signature-Input", given))


def test_the_public_key_is_no_shared_secret() -> None:
    """A keyed hash made with the PEM that everybody can fetch, as in confusions of algorithms elsewhere."""
    given = value_of(SIGNED, "Signature-Input").replace('alg="rsa-v1_5-sha256"', 'alg="hmac-sha256"')
    parameters = given.removeprefix("sig1=")
    base = "\n".join(
        [
            '"@method": POST',
            f'"@target-uri": {URL}',
            '"@authority": l1.example',
            f'"content-digest": {value_of(SIGNED, "Content-Digest")}',
            '"content-type": application/json',
            f'"@signature-params": {parameters}',
        ]
    )
    mac = hmac.HMAC(public_pem(KEY).encode(), hashes.SHA256())
    mac.update(base.encode())
    forged = f"sig1=:{base64.b64encode(mac.finalize()).decode()}:"
    refused(changed(changed(SIGNED, "Signature-Input", given), "Signature", forged))


def test_two_signatures_are_refused() -> None:
    """Nobody has to guess which of them counts."""
    second = [(n, v.replace("sig1=", "sig2=")) for n, v in signed(OTHER)]
    both = [(n, f"{value_of(second, n)}, {v}" if n.startswith("Signature") else v) for n, v in SIGNED]
    refused(both)
    with pytest.raises(SignatureError):
        key_id_of(both)


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_header_breaks_anything(inputs: str, signature: str) -> None:
    lines = changed(changed(SIGNED, "Signature-Input", inputs), "Signature", signature)
    refused(lines)
    with pytest.raises(SignatureError):
        key_id_of(changed(lines, "Signature-Input", None))


def test_long_headers_are_not_parsed() -> None:
    assert "more than" in refused(changed(SIGNED, "Signature-Input", "a=1," * 2000))


@pytest.mark.parametrize("digest", ["sha-256=:AAAA:", "md5=:AAAA:", "", "sha-256=abc", "unixsum=1"])
def test_a_digest_of_something_else_is_refused(digest: str) -> None:
    refused(changed(SIGNED, "Content-Digest", digest))


def test_keys_are_read() -> None:
    assert public_key(public_pem(KEY)).public_numbers() == KEY.public_key().public_numbers()
    assert read_key(PEM.decode()).private_numbers() == KEY.private_numbers()
    assert read_key(PEM.decode().replace("\n", "\\n")).private_numbers() == KEY.private_numbers()


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "actor.key"
    path.write_bytes(PEM)
    assert read_key(str(path)).private_numbers() == KEY.private_numbers()


def _weak() -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  (weak on purpose)
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _elliptic() -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(encoding, form, serialization.NoEncryption())


@pytest.mark.parametrize("given", ["", "/nowhere/at/all", "-----BEGIN PRIVATE KEY-----\nAAAA"])
def test_what_is_no_key_is_refused_without_being_shown(given: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_key(given)
    assert "ARTDAG_ACTOR_KEY" in error.value.message
    assert "AAAA" not in error.value.message


@pytest.mark.parametrize("make", [_weak, _elliptic])
def test_weak_and_other_keys_are_refused(make: object) -> None:
    assert callable(make)
    pem = make()
    with pytest.raises(ConfigurationError):
        private_key(pem)
    public = serialization.load_pem_private_key(pem, None).public_key()
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(SignatureError):
        public_key(text)
    with pytest.raises(SignatureError):
        public_key("nothing")
