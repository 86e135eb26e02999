"""The operations on documents; part of the table in `vdb.protocol.operations`."""

from vdb.protocol import document_answers, document_requests
from vdb.protocol.operation import Operation

_DOCUMENTS = "/v1/collections/{collection}/documents"

DOCUMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "put_documents",
        "POST",
        _DOCUMENTS,
        document_requests.PutDocuments,
        document_answers.DocumentsPut,
        "write",
        "Insert or replace documents, as chunks",
    ),
    Operation(
        "list_documents",
        "GET",
        _DOCUMENTS,
        document_requests.ListDocuments,
        document_answers.DocumentPage,
        "read",
        "Page through the tenant's documents",
    ),
    Operation(
        "get_documents",
        "POST",
        f"{_DOCUMENTS}/get",
        document_requests.GetDocuments,
        document_answers.Documents,
        "read",
        "Get documents by ids, with their chunks if asked",
    ),
    Operation(
        "delete_documents",
        "POST",
        f"{_DOCUMENTS}/delete",
        document_requests.DeleteDocuments,
        document_answers.DocumentsDeleted,
        "write",
        "Delete documents with their chunks",
    ),
)
