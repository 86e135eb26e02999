"""Makes vdb a database of VectorDBBench while it runs, so that no file of the harness is edited.

Its databases are the members of an enum, which its models and processes look up by value. `register` has to come before
any other module of the harness is imported, in every process: `python -m bench.vectordbbench` does that, also in the
processes that are spawned from it.
"""

from typing import Any

from vectordb_bench.backend import clients

__all__ = ["NAME", "register"]

NAME = "Vdb"


def register() -> Any:
    """The member `DB.Vdb`, made by the first call."""
    database: Any = clients.DB
    if NAME not in database.__members__:
        member = object.__new__(database)
        member._name_, member._value_, member._sort_order_ = NAME, NAME, len(database)
        type.__setattr__(database, NAME, member)
        database._member_names_.append(NAME)
        database._member_map_[NAME] = member
        database._value2member_map_[NAME] = member
        _extend(database, member)
    return database(NAME)


def _extend(database: Any, member: Any) -> None:
    """Let the enum name the classes of the new member; those of the others stay as they are."""
    init_cls, config_cls, case_config_cls = database.init_cls, database.config_cls, database.case_config_cls

    def client_of(self: Any) -> Any:
        if self is not member:
            return init_cls.fget(self)
        from bench.vectordbbench.client.vdb import Vdb

        return Vdb

    def config_of(self: Any) -> Any:
        if self is not member:
            return config_cls.fget(self)
        from bench.vectordbbench.client.config import VdbConfig

        return VdbConfig

    def case_config_of(self: Any, index_type: Any = None) -> Any:
        if self is not member:
            return case_config_cls(self, index_type)
        from bench.vectordbbench.client.config import VdbCaseConfig, VdbTextConfig

        return VdbTextConfig if getattr(index_type, "name", None) == "FTS" else VdbCaseConfig

    database.init_cls, database.config_cls = property(client_of), property(config_of)
    database.case_config_cls = case_config_of
