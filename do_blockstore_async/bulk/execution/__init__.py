"""From a plan to outcomes: runs, their journal, and what resumes them."""
