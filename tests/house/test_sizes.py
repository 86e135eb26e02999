"""The size bars: files, functions, their median and 90th percentile."""

import statistics

from tests.house.sources import EVERYTHING, MEASURED, Function, functions, python_files, relative

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80
MAX_KERNEL_LINES = 120
MAX_MEDIAN_LINES = 12
MAX_P90_LINES = 40


def _bar(function: Function) -> int:
    return MAX_KERNEL_LINES if function.file.startswith("vdb/kernels/") else MAX_FUNCTION_LINES


def test_no_file_is_longer_than_the_bar() -> None:
    n_lines = {relative(path): len(path.read_bytes().splitlines()) for path in python_files(*EVERYTHING)}
    assert {file: n for file, n in n_lines.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_the_bar() -> None:
    assert [function for function in functions(*MEASURED) if function.n_lines > _bar(function)] == []


def test_the_median_function_is_short() -> None:
    assert statistics.median(function.n_lines for function in functions(*MEASURED)) <= MAX_MEDIAN_LINES


def test_nine_functions_in_ten_are_under_the_bar() -> None:
    n_lines = sorted(function.n_lines for function in functions(*MEASURED))
    assert n_lines[int(0.9 * (len(n_lines) - 1))] <= MAX_P90_LINES
