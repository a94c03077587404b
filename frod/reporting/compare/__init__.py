"""Two reports side by side: of two suites, or of two revisions of one."""
