"""The limits a client can meet, for /v1/limits."""

from dataclasses import asdict

from vdb.engine import filters
from vdb.engine.services import Services
from vdb.protocol.answers import LimitsAnswer
from vdb.types import Caller


def limits_answer(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> LimitsAnswer:
    """Every cap, by name."""
    return LimitsAnswer(
        limits={
            **asdict(services.settings.limits),
            "max_filter_depth": filters.MAX_DEPTH,
            "max_filter_conditions": filters.MAX_CONDITIONS,
            "max_filter_list": filters.MAX_LIST,
            "max_filter_field_characters": filters.MAX_FIELD_CHARS,
        }
    )
