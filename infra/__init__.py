"""What is deployed, and the scripts around it."""
