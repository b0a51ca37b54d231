"""Tests that compute with torch: `make test-local`."""
