"""A page over a reader with known answers, a small real Longformer, and a browser."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.space_picture import find_chromium
from foundation.cli import UserError
from space.reader import ADAPTER, Reader, load_reader

from .echo import echo_reader, tokenizer

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def echo() -> Reader:
    return echo_reader()


@pytest.fixture(scope="session")
def tiny_qa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native Longformer of 128 tokens with a QA head, every parameter random, and the same in every run."""
    from transformers import LongformerConfig, LongformerForQuestionAnswering

    folder = tmp_path_factory.mktemp("tiny") / "qa"
    words = tokenizer(128)
    config = LongformerConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        attention_window=32, max_position_embeddings=128 + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        sep_token_id=2, type_vocab_size=1,
    )  # fmt: skip
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = LongformerForQuestionAnswering(config)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapter_reader() -> Reader:
    """The model that the project ships; tests of meaning wait for it."""
    if not (ADAPTER / "adapter_model.safetensors").is_file():
        pytest.skip("space/adapter is not there yet: train it with training/finetune.py")
    return load_reader()


@pytest.fixture(scope="session")
def page_server(echo: Reader, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The page on a free port of loopback: .url, .temporary (where gradio puts uploads)."""
    from space.page import build_page, launch_options

    temporary = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(temporary))
        page = build_page(echo)
        _, url, _ = page.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **launch_options(echo))
        try:
            yield SimpleNamespace(url=url, temporary=temporary, page=page)
        finally:
            page.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium, driven by playwright; $CHROMIUM names another binary than the system's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        try:
            binary = find_chromium(playwright)
        except UserError as error:
            pytest.skip(str(error))
        chromium = playwright.chromium.launch(executable_path=binary, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()
