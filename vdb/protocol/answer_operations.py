"""The operations on answers; part of the table in `vdb.protocol.operations`."""

from vdb.protocol import answer_answers, answer_requests, calibrating
from vdb.protocol.operation import Operation

ANSWER_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "answer",
        "POST",
        "/v1/answer",
        answer_requests.Answer,
        answer_answers.CitedAnswer,
        "read",
        "Answer a question from a collection, with citations",
        streams=True,
    ),
    Operation(
        "calibrate_answers",
        "POST",
        "/v1/collections/{collection}/answers/calibrate",
        calibrating.CalibrateAnswers,
        calibrating.AnswersCalibrated,
        "admin",
        'Choose the support below which answers are "not found"',
    ),
)
