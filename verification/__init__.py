"""What a proof costs, how long it takes, what it catches.

`program` and `arithmetic` execute small tasks exactly, `receipts` and `commitments` sign what was
done, `dispute` and `court` find who erred, and `protocols` sets five ways to check side by side,
with what each pays whom. Nothing here imports the other folders.
"""
