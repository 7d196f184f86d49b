"""Jobs of a file: accounts, selections, retention and schedules, written in TOML.

    file = load_jobs("fleet.toml")
    result = await run_job(file, file.jobs["nightly"], file.accounts["shop"], token)

On the command line: `do-blockstore jobs`. With a queue and workers on many machines:
`do_blockstore_async.integrations.procrastinate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .file import JobsFileError, Problem, load_jobs, parse_jobs
    from .model import Account, Job, JobsFile
    from .run import JobResult, job_config, report_text, run_job, save_report
    from .schedule import Schedule
    from .tokens import read_token, read_token_file, read_tokens

__all__ = [
    "Account",
    "Job",
    "JobResult",
    "JobsFile",
    "JobsFileError",
    "Problem",
    "Schedule",
    "job_config",
    "load_jobs",
    "parse_jobs",
    "read_token",
    "read_token_file",
    "read_tokens",
    "report_text",
    "run_job",
    "save_report",
]

__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "Account": ".model",
        "Job": ".model",
        "JobResult": ".run",
        "JobsFile": ".model",
        "JobsFileError": ".file",
        "Problem": ".file",
        "Schedule": ".schedule",
        "job_config": ".run",
        "load_jobs": ".file",
        "parse_jobs": ".file",
        "read_token": ".tokens",
        "read_token_file": ".tokens",
        "read_tokens": ".tokens",
        "report_text": ".run",
        "run_job": ".run",
        "save_report": ".run",
    },
)
