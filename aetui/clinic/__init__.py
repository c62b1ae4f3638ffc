"""Known failures: measured diagnoses of generated and of reported cases."""
