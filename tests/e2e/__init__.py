"""What takes minutes, or an extra that is large: run by make test-e2e."""
