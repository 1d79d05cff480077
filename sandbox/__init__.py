"""A Databricks workspace and a data factory to break on purpose, spoken to over HTTP."""
