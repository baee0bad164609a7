"""A pytest plugin for machines that have every peer: a skip for want of one is a failure there.

PYTHONPATH=tests pytest -p require_peers
"""

from collections.abc import Generator

import pytest

Report = pytest.TestReport | pytest.CollectReport


def refuse(report: Report) -> Report:
    """The same report, failed if it was a skip. What needs a GPU is no peer."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    if report.skipped and not hasattr(report, "wasxfail") and "EVENFLOW_CUDA" not in str(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be missing: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return refuse(report) if item.get_closest_marker("peers") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    # A module that is skipped as a whole asked for a package at its top.
    return refuse((yield))
