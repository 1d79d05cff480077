"""Deliveries step by step: real SDKs, a sandbox, a Table service, no host around them."""
