"""Scripts that azd and the pipeline run."""
