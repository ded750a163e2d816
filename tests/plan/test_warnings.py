"""Mistakes that guides of speech services make are found, with their lines; what is right is left alone."""

from __future__ import annotations

import pytest

from zeroidle.plan.warnings import warnings

GUIDE = """\
# Deployment
2.  **`ipa-generation`**
    *   **Features**: POWSM G2P (Text-to-IPA).
*   Env Var for MFA: `MFA_ROOT_DIRECTORY=/runpod-volume/mfa`
*   Env Var for ESPnet: `ESPNET_MODEL_ZOO_CACHE_DIR=/runpod-volume/espnet`
*   Env Var for HF: `HF_HOME=/runpod-volume/huggingface`
"""


def test_all_mistakes_of_a_guide_are_found_with_their_lines() -> None:
    assert [(warning.code, warning.line) for warning in warnings(GUIDE)] == [
        ("powsm-g2p-is-audio-guided", 3),
        ("dead-variable", 4),
        ("dead-variable", 5),
        ("espnet-ignores-hf-home", 6),
    ]
    sentences = [warning.sentence for warning in warnings(GUIDE)]
    assert "set MFA_ROOT_DIR instead" in sentences[1]
    assert "cachedir=" in sentences[2]


@pytest.mark.parametrize(
    "line",
    [
        "ENV MFA_ROOT_DIRECTORY=/volume/mfa",
        "ENV MFA_ROOT_DIRECTORY /volume/mfa",
        'os.environ["MFA_ROOT_DIRECTORY"] = "/volume/mfa"',
        "export MFA_ROOT_DIRECTORY=$VOLUME/mfa",
        '  "MFA_ROOT_DIRECTORY": "/volume/mfa",',
        'env = { MFA_ROOT_DIRECTORY = "/volume/mfa" }',
    ],
)
def test_every_way_to_set_a_variable_is_seen(line: str) -> None:
    assert [warning.code for warning in warnings(line)] == ["dead-variable"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('s2t = Speech2Text.from_pretrained("espnet/powsm")', "espnet-downloads-into-its-package"),
        ("files = ModelDownloader().download_and_unpack(name)", "espnet-downloads-into-its-package"),
        ('target_ipa = s2t(audio, text_prev=text, task_sym="<g2p>")[0][0]', "target-from-learner-audio"),
        ("reference = powsm.g2p(speech, text)", "target-from-learner-audio"),
        ('phones = powsm_text.replace("/", "")', "phones-joined"),
        ('ready = any(cache.glob("*chatterbox*"))', "half-download-counts"),
    ],
)
def test_mistakes_in_code(line: str, code: str) -> None:
    assert code in [warning.code for warning in warnings(line)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ENV MFA_ROOT_DIR=/volume/mfa",
        "ENV HF_HOME=/volume/hf\nRUN pip install transformers",
        "d = ModelDownloader(cachedir='/volume/espnet')",
        'heard = s2t(audio, text_prev=text, task_sym="<g2p>")',
        "target = lexicon.words(text)",
        'path = name.replace("/", "")',
        'ready = (folder / ".complete").exists()',
        "MFA reads MFA_ROOT_DIR; MFA_ROOT_DIRECTORY is read by nobody",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    assert warnings(text) == []
