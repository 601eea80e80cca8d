"""What of pipelines, sources and data no test has run or looked at: `pytest --dlt-cov`."""
