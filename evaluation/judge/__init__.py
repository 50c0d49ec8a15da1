"""Open answers before a judge: prompt sets, the models' replies, rubrics, judges, verdicts.

A judge is a language model: an OpenAI-compatible endpoint, or a model on this disk that is read by
the log-probability of its verdicts. Its name travels with every score, and no score of a judge
enters a benchmark's mean.
"""
