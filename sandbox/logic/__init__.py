"""Logic Apps that start with an HTTP request."""
