"""Load once, copy per test: pipelines run once, and each test gets what they loaded."""
