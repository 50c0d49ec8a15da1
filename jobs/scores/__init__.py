"""The recorded scores: compared, judged, exchanged, and watched for signs of failure."""
