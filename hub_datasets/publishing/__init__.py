"""What `hub_datasets.publish` puts on the Hub.

In the order to read them: `catalogue` (the official files and the published configurations), `fingerprint` (rows
counted and digested on their way), `card` (the dataset card), `publication` (both branches, built in a folder),
`made` (a data set that code makes), `readback` (all of it, read again through the real client).
"""
