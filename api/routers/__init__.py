"""Routes: `operations` serves the table of operations, `system` what a server needs beside it."""
