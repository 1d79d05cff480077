"""Scripts for the Databricks side."""
