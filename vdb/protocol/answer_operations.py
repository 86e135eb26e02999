"""The operations on answers; part of the table in `vdb.protocol.operations`."""

from vdb.protocol import (
    answer_answers,
    answer_requests,
    answers,
    calibrating,
    requests,
    template_answers,
    template_requests,
)
from vdb.protocol.operation import Operation

_TEMPLATES = "/v1/collections/{collection}/templates"
_TEMPLATE = f"{_TEMPLATES}/{{template}}"

ANSWER_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "list_templates",
        "GET",
        _TEMPLATES,
        requests.Empty,
        template_answers.Templates,
        "admin",
        "List a collection's templates",
    ),
    Operation(
        "get_template",
        "GET",
        _TEMPLATE,
        template_requests.GetTemplate,
        template_answers.Template,
        "admin",
        "A template, its newest version or another",
    ),
    Operation(
        "put_template",
        "PUT",
        _TEMPLATE,
        template_requests.PutTemplate,
        template_answers.Template,
        "admin",
        "Put a template: a new version",
    ),
    Operation(
        "delete_template", "DELETE", _TEMPLATE, requests.Empty, answers.Done, "admin", "Delete a template, all versions"
    ),
    Operation(
        "answer",
        "POST",
        "/v1/answer",
        answer_requests.Answer,
        answer_answers.CitedAnswer | answer_answers.TrecAnswer,
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
