"""`turnup demo`: the whole story in front of the reader, on embedded engines and the virtual network."""
