"""What `hub_datasets.publish` puts on the Hub.

In the order to read them: `catalogue` (the official files and the published configurations), `fingerprint` (rows
counted and digested on their way), `card` (the dataset card), `publication` (both branches, built in a folder),
`readback` (both branches, read again through the real client).
"""
