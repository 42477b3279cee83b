"""Runs that several processes train together, on several GPUs or machines, started by torchrun.

launched.py  whether torchrun started this process, and as which one. Imports no torch
torchrun.py  the executor, of process 0: makes the runs, and hands over what is to be trained
follower.py  the other processes: they train along
meeting.py   where all tell each other what comes next, and how it failed
"""
