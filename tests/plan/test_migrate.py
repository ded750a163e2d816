"""Weights baked into an image are found, whatever way they came, and the changed Dockerfile does without them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zeroidle.cli.main import main
from zeroidle.errors import ConfigError
from zeroidle.plan.migrate import Migration, migrate
from zeroidle.plan.migrate_cost import Rates, cost, rent
from zeroidle.plan.migrate_parse import parse
from zeroidle.volume.weights import Weights


def plan(folder: Path, body: str, **files: str) -> Migration:
    """The migration of a Dockerfile with these lines."""
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\n" + body)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return migrate(folder / "Dockerfile", name="speak")


@pytest.mark.parametrize(
    ("line", "sources"),
    [
        ("huggingface-cli download acme/x", ["hf:acme/x"]),
        ("hf download acme/x a.gguf --revision v1 --local-dir /m", ["hf:acme/x@v1#allow=a.gguf"]),
        ("hf download acme/x --include '*.json' '*.bin' --exclude onnx/*",
         ["hf:acme/x#allow=*.bin,*.json&deny=onnx/*"]),
        ("hf download acme/data --repo-type dataset", []),
        ("git clone https://huggingface.co/acme/x /m/x", ["hf:acme/x"]),
        ("git clone https://github.com/acme/x", []),
        ("wget -q https://huggingface.co/acme/x/resolve/main/sub/m.pth -O /m.pth", ["hf:acme/x@main#allow=sub/m.pth"]),
        ("wget https://example.org/m.safetensors", ["https://example.org/m.safetensors"]),
        ("curl -L -o /m/voice.onnx https://example.org/get?id=5", ["https://example.org/get?id=5"]),
        ("curl -fsSL https://example.org/install.sh | sh", []),
        ("curl -LO https://zenodo.org/records/1234/files/model.zip", ["zenodo:1234#allow=model.zip"]),
        ("aws s3 sync s3://bucket/models /models", ["s3://bucket/models"]),
        ("pip install torch", []),
        ("apt-get update", []),
        ("""python -c "from transformers import AutoModel as A; A.from_pretrained('bert-base-uncased')" """,
         ["hf:bert-base-uncased"]),
        ("""python3 -c 'import faster_whisper as f; f.WhisperModel("small")'""", ["hf:Systran/faster-whisper-small"]),
        ("""python -c "import torch; torch.hub.load_state_dict_from_url('https://x.org/a.pth')" """,
         ["https://x.org/a.pth"]),
        ("""python -c "from sentence_transformers import SentenceTransformer as S; S('all-MiniLM-L6-v2')" """,
         ["hf:sentence-transformers/all-MiniLM-L6-v2"]),
        ("""python -c "import sentence_transformers as s; s.SentenceTransformer('all-MiniLM-L6-v2')" """,
         ["hf:sentence-transformers/all-MiniLM-L6-v2"]),
    ],
)  # fmt: skip
def test_every_way_to_bake_weights_in_is_recognised(tmp_path: Path, line: str, sources: list[str]) -> None:
    found = plan(tmp_path, f"RUN {line}\n")
    assert found.sources == sources
    for source in found.sources:
        assert Weights(source).text == source
    assert (f"RUN {line}" in found.dockerfile) is (not sources)


def test_the_rest_of_a_line_stays(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "RUN apt-get update && \\\n    # the codec\n    apt-get install -y wget && \\\n"
        "    mkdir -p /m && wget https://x.org/a.pth -P /m && \\\n    rm -rf /var/lib/apt/lists/*\n",
    )
    assert found.sources == ["https://x.org/a.pth"] and found.baked[0].line == 2
    line = next(line for line in found.dockerfile.splitlines() if line.startswith("RUN"))
    assert line == "RUN apt-get update && apt-get install -y wget && mkdir -p /m && rm -rf /var/lib/apt/lists/*"


def test_a_script_is_read_with_its_loops_and_variables(tmp_path: Path) -> None:
    script = (
        "import os\nfrom huggingface_hub import snapshot_download\n"
        "ORG = 'acme'\nMODELS = [f'{ORG}/one', f'{ORG}/two']\nSIZE = os.getenv('SIZE', 'large')\n"
        "def fetch(name='acme/three', revision='v2'):\n    snapshot_download(name, revision=revision)\n"
        "for m in MODELS:\n    snapshot_download(repo_id=m, ignore_patterns=['*.bin'])\n"
        "snapshot_download(f'acme/{SIZE}')\nfetch()\n"
    )
    body = "ARG SIZE=small\nWORKDIR /app\nCOPY get.py /app/fetch_models.py\n"
    body += "RUN python /app/fetch_models.py && rm /app/fetch_models.py\n"
    found = plan(tmp_path, body, get=script)
    assert found.sources == [
        "hf:acme/three@v2", "hf:acme/one#deny=*.bin", "hf:acme/two#deny=*.bin", "hf:acme/small",
    ]  # fmt: skip
    assert "RUN" not in found.dockerfile


def test_the_seeds_own_case(tmp_path: Path) -> None:
    script = "from chatterbox.tts import ChatterboxTTS\nChatterboxTTS.from_pretrained(device='cpu')\n"
    found = plan(tmp_path, "COPY download_models.py .\nRUN python download_models.py\n", download_models=script)
    assert found.sources == []
    assert any("download models" in note and "Line 3" in note for note in found.notes)


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = plan(tmp_path, "RUN python fetch_model.py\n")
    assert "fetch_model.py is not in the build context" in found.notes[0]


def test_weights_of_the_build_context(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.safetensors").write_bytes(os.urandom(2_000_000))
    (tmp_path / "models" / "config.json").write_text("{}")
    found = plan(tmp_path, "COPY models/ /models/\nCOPY . /app\nCOPY requirements.txt .\n")
    assert [(b.how, b.size_bytes, b.target) for b in found.baked] == [("copy", 2_000_000, "/models/")]
    assert "COPY models" not in found.dockerfile and "COPY . /app" in found.dockerfile


def test_heredocs_stages_and_json_forms(tmp_path: Path) -> None:
    body = (
        "RUN <<EOF\nset -e\n# a comment\nwget https://x.org/model.ckpt\necho done\nEOF\n"
        'RUN ["hf", "download", "acme/x"]\n'
        "RUN python <<PY\nfrom huggingface_hub import snapshot_download\nsnapshot_download('acme/y')\nPY\n"
        "FROM base\nCOPY --from=0 /root/.cache/huggingface /root/.cache/huggingface\n"
    )
    found = plan(tmp_path, body)
    assert found.sources == ["https://x.org/model.ckpt", "hf:acme/x", "hf:acme/y"]
    assert "RUN <<EOF\nset -e\n# a comment\necho done\nEOF" in found.dockerfile
    assert "snapshot_download" not in found.dockerfile
    assert any("another stage" in note for note in found.notes)


def test_settings_are_taken_over_and_dead_ones_named(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        'ENV HF_HOME=/m MODE="fast one"\nENV MFA_ROOT_DIRECTORY /m/mfa\nRUN hf download acme/x\n'
        'CMD ["python", "-u", "/app/serve.py"]\n',
    )
    assert 'ENV MODE="fast one"' in found.dockerfile
    assert "ENV HF_HOME" not in found.dockerfile and "ENV MFA_ROOT_DIRECTORY" not in found.dockerfile
    assert "MFA_ROOT_DIRECTORY does nothing" in found.notes[0]
    assert found.settings.startswith('[endpoint.speak]\nhandler = "serve.py"\nweights = [\n  "hf:acme/x",\n]\nvolume =')


def test_an_image_without_weights_stays_as_it_is(tmp_path: Path) -> None:
    body = "ENV A=b\nRUN pip install x && \\\n  echo 'wget https://x.org/a.pth'\nCMD python handler.py\n"
    found = plan(tmp_path, body)
    assert found.baked == [] and found.dockerfile == "FROM python:3.11-slim\n" + body


def test_the_changed_dockerfile_parses_and_bakes_nothing(tmp_path: Path) -> None:
    found = plan(tmp_path, "RUN hf download acme/x && pip install y\nRUN wget https://x.org/a.pth\nCOPY . .\n")
    (tmp_path / "changed").write_text(found.dockerfile)
    assert migrate(tmp_path / "changed").baked == []
    assert [i.keyword for i in parse(found.dockerfile)] == ["FROM", "RUN", "COPY"]


@pytest.mark.parametrize("text", ["", "no dockerfile\n", "RUN x\n"])
def test_what_is_no_dockerfile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(ConfigError, match="no FROM"):
        migrate(tmp_path / "Dockerfile")
    with pytest.raises(ConfigError, match="cannot be read"):
        migrate(tmp_path / "missing")


def test_costs() -> None:
    found = cost(64_000_000_000, Rates(push=16e6, pull=100e6, volume=400e6, download=128e6))
    assert (found.push_s, found.pull_s, found.fill_s, found.read_s) == (4000, 640, 500, 160)
    assert rent(64_000_000_000) == pytest.approx(77 * 0.07)
    assert rent(2_000_000_000_000) == pytest.approx(1000 * 0.07 + 1400 * 0.05)
    assert rent(1) == pytest.approx(0.70) and rent(0) == 0
    assert rent(100_000_000_000, 0.1) == pytest.approx(12.0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.bin").write_bytes(bytes(3_000_000))
    plan(tmp_path, "COPY models/ /m/\n")
    assert main(["plan", "migrate", str(tmp_path / "Dockerfile"), "--offline"]) == 0
    out = capsys.readouterr().out
    assert "3.0 MB" in out and "The way back" in out and "volume lock" in out
    assert main(["plan", "migrate", str(tmp_path / "Dockerfile"), "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"]["size_bytes"] == 3_000_000
    assert main(["plan", "migrate", str(tmp_path / "Dockerfile"), "--write", "-", "--offline"]) == 0
    assert capsys.readouterr().out.startswith("FROM python:3.11-slim\n# On the volume now: file:")
