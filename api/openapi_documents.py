"""What the OpenAPI document says of documents beyond their shapes: examples of requests, bounds of fields."""

from typing import Any

from vdb.config import Limits

Schema = dict[str, Any]

DOCUMENT_EXAMPLES: dict[str, Any] = {
    "put_documents": {
        "documents": [
            {"id": "guides/returns.md", "text": "# Returns\n\nPrint the label.", "media_type": "text/markdown"},
            {"id": "faq", "chunks": [{"text": "Print the label, then hand it in.", "vector": [1, 0, 0]}]},
        ],
        "chunking": {"size": 200},
    },
    "get_documents": {"ids": ["guides/returns.md"], "with_chunks": True},
    "delete_documents": {"ids": ["guides/returns.md"]},
}

_MAX_ID_BYTES = 240
_MAX_WORDS = 8_192
_PLACE = {"minimum": 0, "maximum": (1 << 53) - 1}


def refine_documents(asked: dict[str, Schema], limits: Limits) -> None:
    """Lay the bounds of fields over the request schemas of documents."""
    name = {"type": "string", "minLength": 1, "maxLength": _MAX_ID_BYTES}
    asked["PutDocument"]["properties"]["id"] = name
    for shape in ("GetDocuments", "DeleteDocuments"):
        most = limits.max_documents_per_request
        asked[shape]["properties"]["ids"] |= {"minItems": 1, "maxItems": most, "items": name}
    asked["PutDocuments"]["properties"]["documents"] |= {"minItems": 1, "maxItems": limits.max_documents_per_request}
    asked["PutDocument"]["properties"]["data"] |= {"contentEncoding": "base64"}
    asked["PutDocument"]["properties"]["content_hash"] |= {"pattern": "^[0-9a-f]{64}$"}
    asked["PutDocument"]["properties"]["chunks"] |= {"minItems": 1, "maxItems": limits.max_chunks_per_document}
    for field in ("start", "end"):
        asked["GivenChunk"]["properties"][field] |= _PLACE
    asked["GivenChunk"]["properties"]["page"] |= _PLACE | {"minimum": 1}
    asked["Chunking"]["properties"]["size"] |= {"minimum": 1, "maximum": _MAX_WORDS}
    asked["Chunking"]["properties"]["overlap"] |= {"minimum": 0, "maximum": _MAX_WORDS // 2}
