"""Going back in time and coming out of it: backup, restore, what differs afterwards, and the release.

backups      take and list backups of embedded PostgreSQL
going_back   restore the books to an instant; they are closed and the network is frozen from then on
comparison   what the network, the replaced books and the mail folder have that the books do not
release      a named person decides what is right, generations rise above every fence, work goes on
upgrade      another Turnup or another major version of PostgreSQL, with a way back
"""
