"""Tests of the model that speaks the OpenAI images protocol."""
