"""Runs as tasks of Ray, on one machine or a cluster.

ray.py       the executor: joins a cluster or starts Ray here, and says how much of a node a run is given
address.py   where a cluster is, and whether Ray answers there
crew.py      the sweep's side: submits runs, stores what comes back
task.py      a node's side: makes a run in a temporary store
luggage.py   what travels to nodes: spec, code that a person named, finished weights, images
parcel.py    what travels back: a run's folder
mailbox.py   what is said while a run is being made: progress and states, and that it shall end
"""
