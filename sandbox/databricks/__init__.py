"""The Databricks workspace."""
