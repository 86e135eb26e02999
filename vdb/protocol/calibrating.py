"""Shapes of the calibration of a collection's answers. Conventions: `vdb.protocol.requests`, `vdb.protocol.answers`."""

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.requests import Request, Vector


class CalibrationQuestion(Request):
    """A question, and whether what its tenant may see holds an answer.

    `tenant` is who asks; not given: the tenant of the request.
    """

    text: str
    answerable: bool
    vector: Vector | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class CalibrateAnswers(Request):
    """Choose the support below which a collection's answers are "not found", and keep it.

    Of answerable questions it is to refuse at most the share `max_lost`. With `dry_run` nothing is kept.
    """

    questions: list[CalibrationQuestion]
    max_lost: float = 0.05
    dry_run: bool = False
    min_sequence: int = 0
    timeout_s: float = 10.0


class AnswersCalibrated(Struct, kw_only=True):
    """`threshold` is what the questions bear, else what holds; `kept`: it is the collection's now.

    It refuses the shares `lost` of the answerable questions given and `refused` of the others; `lost_bound`: of all
    answerable questions like these no larger share, as surely as 9 in 10. `needed` answerable questions are the least.
    """

    threshold: float
    kept: bool
    n_answerable: int
    n_unanswerable: int
    lost: float
    lost_bound: float
    refused: float | None
    needed: int
