"""Generated requests against a real server; `python -m bench fuzz` sends many more of the same."""
