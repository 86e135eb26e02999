"""Import and export: what files give, what is put aside, what is refused, and what a second run goes on with."""
