"""Use cases of the database: search, write, scroll, filters, maintenance. Only this package opens transactions."""
