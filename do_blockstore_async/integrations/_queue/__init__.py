"""The tables of the job queue, beside procrastinate's."""
