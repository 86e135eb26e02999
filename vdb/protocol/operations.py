"""The table of operations: one line per route, read by the server, the SDK, in-process use and the documents.

`access`: `admin` (admin keys), `read` (any key, acting for a tenant), `write` (any key but a read key, acting for a
tenant), `remove` (the same, or an admin key for all tenants), `any` (any key, tenant or not). What a key may not reach
answers 403; what a tenant may not see answers 404.
"""

from vdb.protocol import answers, requests, statistics
from vdb.protocol.answer_operations import ANSWER_OPERATIONS
from vdb.protocol.cache_operations import CACHE_OPERATIONS
from vdb.protocol.chat_operations import CHAT_OPERATIONS
from vdb.protocol.document_operations import DOCUMENT_OPERATIONS
from vdb.protocol.operation import Operation as Operation
from vdb.protocol.text_requests import LearnFusion

_C = "/v1/collections/{collection}"
_T = "/v1/tenants/{tenant}"
_K = "/v1/keys/{key}"
_B = "/v1/backups/{backup}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "create_collection",
        "POST",
        "/v1/collections",
        requests.CreateCollection,
        answers.Collection,
        "admin",
        "Create a collection",
        created=True,
    ),
    Operation(
        "list_collections",
        "GET",
        "/v1/collections",
        requests.ListPage,
        answers.Collections,
        "any",
        "List the collections the key may use",
    ),
    Operation("get_collection", "GET", _C, requests.Empty, answers.Collection, "any", "Describe a collection"),
    Operation(
        "update_collection",
        "PATCH",
        _C,
        requests.UpdateCollection,
        answers.Collection,
        "admin",
        "Rename; change members, sharing, embedding, metadata, tier, answering",
    ),
    Operation("delete_collection", "DELETE", _C, requests.Empty, answers.Done, "admin", "Delete a collection"),
    Operation(
        "collection_stats", "GET", f"{_C}/stats", requests.Empty, statistics.CollectionStats, "any", "Counts and sizes"
    ),
    Operation(
        "list_members", "GET", f"{_C}/members", requests.ListPage, answers.Members, "admin", "A collection's tenants"
    ),
    Operation("tune", "POST", f"{_C}/tune", requests.Tune, answers.Job, "admin", "Train the index anew, as a job"),
    Operation(
        "learn_fusion",
        "POST",
        f"{_C}/fusion/learn",
        LearnFusion,
        answers.FusionLearned,
        "admin",
        "Learn from judged queries how to fuse the legs",
    ),
    Operation("list_aliases", "GET", "/v1/aliases", requests.ListPage, answers.Aliases, "any", "List aliases"),
    Operation(
        "set_aliases",
        "POST",
        "/v1/aliases",
        requests.SetAliases,
        answers.AliasesChanged,
        "admin",
        "Set and remove aliases, all in one commit",
    ),
    Operation(
        "upsert",
        "POST",
        f"{_C}/points",
        requests.Upsert,
        answers.Written | answers.Queued,
        "write",
        "Insert or replace points",
    ),
    Operation("get_points", "POST", f"{_C}/points/get", requests.GetPoints, answers.Points, "read", "Get by ids"),
    Operation(
        "delete_points",
        "POST",
        f"{_C}/points/delete",
        requests.DeletePoints,
        answers.Deleted | answers.Job,
        "write",
        "Delete by ids, or by filter as a job",
    ),
    Operation("scroll", "POST", f"{_C}/points/scroll", requests.Scroll, answers.ScrollPage, "read", "Page through"),
    Operation("count", "POST", f"{_C}/points/count", requests.Count, answers.Counted, "read", "Count points"),
    Operation(
        "update_payload",
        "POST",
        f"{_C}/points/payload",
        requests.UpdatePayload,
        answers.Written,
        "write",
        "Merge or replace payloads",
    ),
    Operation("share", "POST", f"{_C}/points/grants", requests.Share, answers.Written, "write", "Grant or revoke"),
    Operation("search", "POST", f"{_C}/search", requests.Search, answers.SearchAnswer, "read", "Nearest points"),
    Operation(
        "create_tenant",
        "POST",
        "/v1/tenants",
        requests.CreateTenant,
        answers.Tenant,
        "admin",
        "Create a tenant",
        created=True,
    ),
    Operation("list_tenants", "GET", "/v1/tenants", requests.ListPage, answers.Tenants, "admin", "List tenants"),
    Operation("get_tenant", "GET", _T, requests.Empty, answers.Tenant, "any", "A tenant's quota and usage"),
    Operation("update_tenant", "PATCH", _T, requests.UpdateTenant, answers.Tenant, "admin", "Change quota and rate"),
    Operation(
        "tenant_usage",
        "GET",
        f"{_T}/usage",
        requests.UsagePage,
        answers.TenantUsage,
        "any",
        "What a tenant asked for, by month",
    ),
    Operation("delete_tenant", "DELETE", _T, requests.Empty, answers.Job, "admin", "Delete a tenant, as a job"),
    Operation("create_key", "POST", "/v1/keys", requests.CreateKey, answers.Key, "admin", "Create a key", created=True),
    Operation("list_keys", "GET", "/v1/keys", requests.ListPage, answers.Keys, "admin", "List keys"),
    Operation("get_key", "GET", _K, requests.Empty, answers.Key, "admin", "Describe a key"),
    Operation("rotate_key", "POST", f"{_K}/rotate", requests.RotateKey, answers.Key, "admin", "New secret"),
    Operation("delete_key", "DELETE", _K, requests.Empty, answers.Done, "admin", "Delete a key"),
    Operation("get_job", "GET", "/v1/jobs/{job}", requests.Empty, answers.Job, "any", "A job's progress"),
    Operation("list_jobs", "GET", "/v1/jobs", requests.ListPage, answers.Jobs, "any", "List jobs"),
    Operation(
        "create_backup",
        "POST",
        "/v1/backups",
        requests.CreateBackup,
        answers.Backup,
        "admin",
        "Back up everything as of one instant",
        created=True,
    ),
    Operation("list_backups", "GET", "/v1/backups", requests.ListPage, answers.Backups, "admin", "List backups"),
    Operation("get_backup", "GET", _B, requests.Empty, answers.Backup, "admin", "Describe a backup"),
    Operation("delete_backup", "DELETE", _B, requests.Empty, answers.Done, "admin", "Delete a backup"),
    Operation("limits", "GET", "/v1/limits", requests.Empty, answers.LimitsAnswer, "any", "Every cap of the server"),
    *DOCUMENT_OPERATIONS,
    *CACHE_OPERATIONS,
    *ANSWER_OPERATIONS,
    *CHAT_OPERATIONS,
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
