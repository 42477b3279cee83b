"""Runs that several processes train together, on several GPUs or machines, started by torchrun.

launched.py  tells whether torchrun started this process, and with which rank; it doesn't import torch
torchrun.py  the executor, in process 0: makes the runs and hands each training to the other processes
follower.py  the other processes, which train along
meeting.py   passes messages between the processes: the next training, and errors
"""
