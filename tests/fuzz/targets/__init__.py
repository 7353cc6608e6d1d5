"""What is fuzzed, one module for each kind of text or bytes that comes from outside."""
