"""Read models from a Hugging Face Hub, or from a server that speaks like one.

`facts` maps answers to plain data and is pure; `intake` asks; `weights` streams and verifies;
`cache` keeps what was read, so that it can be registered again without a network.
"""
