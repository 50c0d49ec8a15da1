"""How alike models are, without merging them: one pass over the bytes of all of them.

`scan` reads and sums, `result` keeps the sums, `measures` turns them into distances, cosines, sign
conflicts and norm ratios, `places` says where in a network a tensor sits, `notes` says in words
what could not be compared.
"""
