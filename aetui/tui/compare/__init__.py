"""Trainings side by side on the screen: one table and one chart, of stored runs and of forks."""
