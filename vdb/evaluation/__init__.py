"""Evaluation: how well a collection answers queries whose answers somebody judged, over HTTP or in process.

files        queries, judgements and runs, in the forms of BEIR and TREC
asking       queries asked of a server: one run per way of searching
measures     metrics of runs (ir_measures, of the extra `eval`)
evaluate     the whole: ask, learn, measure, compare
report       Markdown and HTML
plot         the picture in them (matplotlib, of the extra `eval`)
extras       what to install where a library is missing
"""

from vdb.evaluation.evaluate import EvaluateOptions, Evaluation, evaluate
from vdb.evaluation.files import Query, read_qrels, read_queries, read_run, write_run
from vdb.evaluation.report import write_report

__all__ = [
    "EvaluateOptions",
    "Evaluation",
    "Query",
    "evaluate",
    "read_qrels",
    "read_queries",
    "read_run",
    "write_report",
    "write_run",
]
