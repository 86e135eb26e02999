"""Every error vdb raises. The SDK rebuilds the same class from the public, permanent `code`.

    VdbError
    ├── InvalidArgument         InvalidJson UnknownField DuplicateKey NestedTooDeep IntegerOutOfRange DimensionMismatch
    │                           NonFiniteVector EmptyBatch DuplicateId InvalidId InvalidFilter InvalidCursor
    │                           FieldTypeMismatch TenantRequired UnknownGrantee UnreadableDocument
    ├── TooLarge                BodyTooLarge PayloadTooLarge DocumentTooLarge
    ├── Unauthenticated         KeyExpired
    ├── Forbidden               SharingForbidden NotOwner
    ├── NotFound                CollectionNotFound TenantNotFound KeyNotFound JobNotFound PointNotFound RouteNotFound
    │                           MethodNotAllowed UnsupportedMediaType
    ├── Conflict                AlreadyExists VersionConflict QuotaExceeded LimitReached NoIndex ModelMismatch
    ├── Unavailable             QueueFull SequenceTimeout ShuttingDown RateLimited ModelUnavailable
    │                           TextIndexBuilding
    ├── StorageFailure          DiskFull DirectoryLocked FormatTooNew CorruptData
    ├── TransportError          TransportTimeout        (raised by the SDK only)
    └── InternalError

`errors` holds `Problem(pointer, detail)` entries; a pointer is an RFC 6901 JSON pointer into the request body.
HTTP status numbers are not here: they live in `api/errors.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a request: where (`pointer`, RFC 6901) and what (`detail`)."""

    pointer: str
    detail: str


class VdbError(Exception):
    """Base of all errors; `code` is stable, `detail` is for people, `problems` point into the request."""

    code = "error"

    def __init__(
        self,
        detail: str = "",
        *,
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail or self.code
        self.problems = problems
        self.retry_after_s = retry_after_s

    @classmethod
    def at(cls, pointer: str, detail: str) -> "VdbError":
        """The error with one problem at `pointer`; `detail` serves both."""
        return cls(detail, problems=(Problem(pointer, detail),))


class InvalidArgument(VdbError):
    """The request is malformed; nothing was changed."""

    code = "invalid_argument"


class InvalidJson(InvalidArgument):
    code = "invalid_json"


class UnknownField(InvalidArgument):
    code = "unknown_field"


class DuplicateKey(InvalidArgument):
    code = "duplicate_key"


class NestedTooDeep(InvalidArgument):
    code = "nested_too_deep"


class IntegerOutOfRange(InvalidArgument):
    code = "integer_out_of_range"


class DimensionMismatch(InvalidArgument):
    code = "dimension_mismatch"


class NonFiniteVector(InvalidArgument):
    code = "non_finite_vector"


class EmptyBatch(InvalidArgument):
    code = "empty_batch"


class DuplicateId(InvalidArgument):
    code = "duplicate_id"


class InvalidId(InvalidArgument):
    code = "invalid_id"


class InvalidFilter(InvalidArgument):
    code = "invalid_filter"


class InvalidCursor(InvalidArgument):
    code = "invalid_cursor"


class FieldTypeMismatch(InvalidArgument):
    """A payload value or a filter operand is not of the type the collection declares for the field."""

    code = "field_type_mismatch"


class TenantRequired(InvalidArgument):
    """A service or admin key must name the tenant it acts for."""

    code = "tenant_required"


class UnknownGrantee(InvalidArgument):
    """A grantee does not exist or may not use the collection: one answer for both."""

    code = "unknown_grantee"


class UnknownCategory(InvalidArgument):
    """The cache has no policy for a category of that name."""

    code = "unknown_category"


class BudgetTooSmall(InvalidArgument):
    """Not even one passage fits into the context."""

    code = "budget_too_small"


class UnreadableDocument(InvalidArgument):
    """A document is not of its format, is damaged or encrypted, or has no text."""

    code = "unreadable_document"


class TooLarge(VdbError):
    code = "too_large"


class BodyTooLarge(TooLarge):
    code = "body_too_large"


class PayloadTooLarge(TooLarge):
    code = "payload_too_large"


class DocumentTooLarge(TooLarge):
    """A document has more bytes or more chunks than one may have."""

    code = "document_too_large"


class AnswerTooLarge(TooLarge):
    """An answer is longer than a cache takes."""

    code = "answer_too_large"


class Unauthenticated(VdbError):
    code = "unauthenticated"


class KeyExpired(Unauthenticated):
    code = "key_expired"


class Forbidden(VdbError):
    code = "forbidden"


class SharingForbidden(Forbidden):
    code = "sharing_forbidden"


class NotOwner(Forbidden):
    """The point is visible to the caller but belongs to someone else."""

    code = "not_owner"


class NotFound(VdbError):
    code = "not_found"


class CollectionNotFound(NotFound):
    code = "collection_not_found"


class TenantNotFound(NotFound):
    code = "tenant_not_found"


class KeyNotFound(NotFound):
    code = "key_not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class PointNotFound(NotFound):
    code = "point_not_found"


class CacheNotFound(NotFound):
    code = "cache_not_found"


class LookupNotFound(NotFound):
    """The lookup never was, was another tenant's, or is forgotten: they are kept for minutes."""

    code = "lookup_not_found"


class EntryNotFound(NotFound):
    """The cache has no such entry of this tenant."""

    code = "entry_not_found"


class PolicyNotFound(NotFound):
    code = "policy_not_found"


class TemplateNotFound(NotFound):
    code = "template_not_found"


class ModelNotFound(NotFound):
    """There is no backend of that name, or no collection that the key may use."""

    code = "model_not_found"


class RouteNotFound(NotFound):
    code = "route_not_found"


class MethodNotAllowed(NotFound):
    code = "method_not_allowed"


class UnsupportedMediaType(NotFound):
    code = "unsupported_media_type"


class Conflict(VdbError):
    code = "conflict"


class AlreadyExists(Conflict):
    code = "already_exists"


class VersionConflict(Conflict):
    code = "version_conflict"


class QuotaExceeded(Conflict):
    code = "quota_exceeded"


class LimitReached(Conflict):
    """A cap of the whole server, such as the number of collections, is reached."""

    code = "limit_reached"


class LeaseExpired(Conflict):
    """Somebody else may be answering the question by now."""

    code = "lease_expired"


class NoIndex(Conflict):
    """The collection has no index, so there is none to be tuned."""

    code = "no_index"


class ModelMismatch(Conflict):
    """A model of that name is there, of another version or for vectors of another dimension."""

    code = "model_mismatch"


class Unavailable(VdbError):
    """Try again after `retry_after_s`."""

    code = "unavailable"


class QueueFull(Unavailable):
    code = "queue_full"


class SequenceTimeout(Unavailable):
    """`min_sequence` was not reached within the timeout."""

    code = "sequence_timeout"


class AnswerPending(SequenceTimeout):
    """Somebody is answering the same question: ask again, until the wait is over."""

    code = "answer_pending"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class RateLimited(Unavailable):
    code = "rate_limited"


class ModelUnavailable(Unavailable):
    """A model that embeds or ranks texts gave no answer that can be used."""

    code = "model_unavailable"


class TextIndexBuilding(Unavailable):
    """The collection's text index is being built."""

    code = "text_index_building"


class StorageFailure(VdbError):
    code = "storage_failure"


class DiskFull(StorageFailure):
    code = "disk_full"


class DirectoryLocked(StorageFailure):
    """Another process holds the data directory."""

    code = "directory_locked"


class FormatTooNew(StorageFailure):
    """The data directory was written by a newer release."""

    code = "format_too_new"


class CorruptData(StorageFailure):
    code = "corrupt_data"


class TransportError(VdbError):
    """The SDK could not complete the exchange with the server."""

    code = "transport_error"


class TransportTimeout(TransportError):
    code = "transport_timeout"


class InternalError(VdbError):
    """A bug of ours; the server's log has the trace under the request id."""

    code = "internal_error"


def _walk(cls: type[VdbError]) -> dict[str, type[VdbError]]:
    found = {cls.code: cls}
    for child in cls.__subclasses__():
        found.update(_walk(child))
    return found


BY_CODE: dict[str, type[VdbError]] = _walk(VdbError)
"""Every public error code and its class."""
