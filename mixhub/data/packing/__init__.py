"""Packing, in parts: texts into pieces, pieces into ids, files into shards, on all cores, and the unfinished folder."""
