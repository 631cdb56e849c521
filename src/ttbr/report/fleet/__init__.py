"""Relations of many images as one partitioned Parquet data set, an image at a time.

`images` says which images are meant, `job` reads one, `isolated` does so in a process of its own,
`dataset` and `manifest` keep what came out, `executors` says where the processes run, and `run`
holds them together.
"""
