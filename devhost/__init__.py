"""A development host: runs the function app where there is no Azure Functions host."""
