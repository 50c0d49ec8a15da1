"""Jobs on the nodes of a Ray cluster: the same generators, the same queue, one writer."""
