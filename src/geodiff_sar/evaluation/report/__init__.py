"""The report of an evaluation: tables, figures and what they mean, in one file."""
