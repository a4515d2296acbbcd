"""Parts of the generate workflow: options, session, jobs, recipe."""
