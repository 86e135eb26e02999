"""The real library, where it is installed, with a tiny model of random weights that the test makes."""

from pathlib import Path

import numpy as np
import pytest

from vdb.errors import ModelUnavailable
from vdb.rag.embed.base import EmbedderOptions
from vdb.rag.embed.local import LocalEmbedder

WIDTH = 16


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a model: one layer, letters for tokens."""
    pytest.importorskip("sentence_transformers", reason="the extra is not installed")
    import transformers

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    config = transformers.BertConfig(
        vocab_size=len(tokens), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "model")
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_library_embeds_both_sides(model: Path) -> None:
    embedder = LocalEmbedder("tiny", "sentence-transformers", EmbedderOptions(str(model), "1", WIDTH))
    rows = embedder.embed_documents(["one text", "another", "x" * 5000], WIDTH)
    assert rows.dtype == np.float32 and rows.shape == (3, WIDTH)
    assert np.allclose(embedder.embed_queries(["one text"], WIDTH), rows[:1], atol=1e-5)
    absent = LocalEmbedder("tiny", "sentence-transformers", EmbedderOptions(str(model / "absent"), "1", WIDTH))
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        absent.embed_queries(["one text"], WIDTH)
    embedder.close()
