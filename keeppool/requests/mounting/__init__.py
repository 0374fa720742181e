"""What requests lets programs change from inside: adapters that send, hooks, and methods of their own.

Decides: when a call goes through what a program has put in the place of ours.
Does not know: requests' names and places; the modules beside this folder give those.
"""
