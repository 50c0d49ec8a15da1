"""The parts of the Suites page, and choosing a suite wherever one is needed."""
