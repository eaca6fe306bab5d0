"""How much, for everyone at once: from facts to invoices and ledger entries, over Polars frames. No I/O.

Preview, run and re-run all go through `invoices.bill`. Rules decide once per distinct key; frames multiply.
Intermediates are Int128 and come back to Int64 by a cast that yields null on overflow; a null amount parks
its account. Ids are text in frames.
"""
