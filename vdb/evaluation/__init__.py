"""Evaluation: how well a collection answers queries whose answers somebody judged, over HTTP or in process.

files        queries, judgements and runs, in the forms of BEIR and TREC
asking       queries asked of a server: one run per way of searching
measures     metrics of runs (ir_measures, of the extra `eval`)
evaluate     the whole: ask, learn, measure, compare
report       Markdown and HTML
plot         the picture in them (matplotlib, of the extra `eval`)
answer_files questions with their answers
answers      answers asked for, beside those that are right
answer_report the report of answers
extras       what to install where a library is missing
"""

from vdb.evaluation.answer_files import AnsweredQuestion, read_questions
from vdb.evaluation.answer_report import write_answers_report
from vdb.evaluation.answers import AnswersEvaluation, evaluate_answers
from vdb.evaluation.evaluate import EvaluateOptions, Evaluation, evaluate
from vdb.evaluation.files import Query, read_qrels, read_queries, read_run, write_run
from vdb.evaluation.report import write_report

__all__ = [
    "AnsweredQuestion",
    "AnswersEvaluation",
    "EvaluateOptions",
    "Evaluation",
    "Query",
    "evaluate",
    "evaluate_answers",
    "read_qrels",
    "read_queries",
    "read_questions",
    "read_run",
    "write_answers_report",
    "write_report",
    "write_run",
]
