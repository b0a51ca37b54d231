"""Tests of publishing, against the Hub on loopback."""
