"""The API server's audit log: who did what, by which credential, under which binding; and how little would have done.

Everything but `lines` is pure: bytes and values in, values out.
"""
