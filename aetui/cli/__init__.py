"""The command line: the one place that puts engine and screen together."""
