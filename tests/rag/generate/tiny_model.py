"""Makes a tiny Llama of random weights, for servers of real models to serve: what it says makes no sense.

Run by the Python that has `transformers`, and `gguf` for the twin: `python tiny_model.py FOLDER TEXT...` writes the
model, its tokenizer (a byte-level BPE trained on the texts) and its chat template to the folder, and `tiny.gguf` where
`gguf` is installed. It imports nothing of this repository.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VOCABULARY = 2048
CONTEXT = 1024
HIDDEN, FEED_FORWARD, N_LAYERS, N_HEADS, N_KV_HEADS = 64, 128, 2, 4, 2
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tokenizer_of(texts: list[str]) -> Any:
    """A byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def make(folder: Path, texts: list[str]) -> Any:
    """The model, saved; returned with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = tokenizer_of(texts)
    end = raw.token_to_id(SPECIAL[0])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token=SPECIAL[0], bos_token=SPECIAL[0], pad_token=SPECIAL[0],
        model_max_length=CONTEXT, chat_template=TEMPLATE,
    )  # fmt: skip
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=raw.get_vocab_size(), hidden_size=HIDDEN, intermediate_size=FEED_FORWARD, num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS, num_key_value_heads=N_KV_HEADS, max_position_embeddings=CONTEXT,
        bos_token_id=end, eos_token_id=end, pad_token_id=end, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, raw


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """The same weights and vocabulary in llama.cpp's form."""
    import json

    from gguf import GGUFWriter, TokenType

    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(N_LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV_HEADS)
    writer.add_rope_dimension_count(HIDDEN // N_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(tokenizer.get_vocab_size())
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token, _ in vocabulary])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    end = tokenizer.token_to_id(SPECIAL[0])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(_gguf_name(name), _permuted(name, tensor.float().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    parts = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers.": "blk.",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for theirs in sorted(parts, key=len, reverse=True):
        name = name.replace(theirs, parts[theirs])
    return name


def _permuted(name: str, weights: Any) -> Any:
    """Rows of queries and keys in the order of llama.cpp's rotation."""
    n_heads = {"q_proj": N_HEADS, "k_proj": N_KV_HEADS}.get(name.split(".")[-2])
    if n_heads is None:
        return weights
    return weights.reshape(n_heads, 2, -1, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def main() -> None:
    """Make the model of the folder that is named first, of the texts that are named then."""
    folder = Path(sys.argv[1])
    texts = [Path(name).read_text(encoding="utf-8", errors="replace") for name in sys.argv[2:]]
    model, tokenizer = make(folder, texts)
    if find_spec("gguf") is not None:
        write_gguf(folder / "tiny.gguf", model, tokenizer)


if __name__ == "__main__":
    main()
