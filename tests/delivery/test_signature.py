"""Signatures, as the independent `standardwebhooks` package reads them, and the secret's file."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from zeroidle.delivery.signature import Signer, blocks, load_secret
from zeroidle.errors import ConfigError

BODY = '{"id":"a-u1","output":"grüße"}'.encode()


def test_what_is_signed_is_verified_by_another_implementation(tmp_path: Path) -> None:
    secret = load_secret(tmp_path / "webhook.secret")
    headers = Signer(secret).headers("msg_1", int(time.time()), (BODY,))
    Webhook(secret.strip()).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.strip()).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.strip()).verify(BODY, headers | {"webhook-id": "msg_2"})


def test_a_file_is_signed_in_blocks_like_the_bytes_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY * 50_000)
    signer = Signer(load_secret(tmp_path / "webhook.secret"))
    assert signer.headers("msg_1", 17, blocks(file)) == signer.headers("msg_1", 17, (BODY * 50_000,))


def test_while_a_secret_is_changed_both_the_old_and_the_new_one_verify(tmp_path: Path) -> None:
    old, new = load_secret(tmp_path / "old").strip(), load_secret(tmp_path / "new").strip()
    headers = Signer(f"{new}\n{old}\n").headers("msg_1", int(time.time()), (BODY,))
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "webhook.secret"
    secret = load_secret(path)
    assert secret.startswith("whsec_") and len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_secret(path).strip() == secret
    assert [p.name for p in tmp_path.iterdir()] == ["webhook.secret"]


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), ("whsec_###", "not base64"), ("whsec_" + "QUJD", "has 3 bytes")]
)
def test_a_secret_that_cannot_be_one_is_refused_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Signer(text)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be kept in"):
        load_secret(tmp_path / "missing" / "webhook.secret")
