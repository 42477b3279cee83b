"""Runs as tasks of Ray, on one machine or a cluster.

ray.py       the executor: joins a cluster, or starts Ray on this machine
address.py   a cluster's address, and whether Ray answers there
share.py     the cores and the part of a GPU that each run gets
crew.py      the sweep's side: submits runs and stores their results
task.py      a node's side: makes a run in a temporary store
luggage.py   data that travel to nodes: the spec, the user's code, finished weights, images
parcel.py    data that travel back: a run's folder
mailbox.py   messages while a run is being made: its progress and states, and the order to end
"""
