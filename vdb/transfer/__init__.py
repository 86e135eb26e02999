"""Import and export of files, over HTTP or in process: readers, writers, resumable transfers.

rows, fields           columns of a chunk; which field of a file is which part of a point
jsonl, numpy_files     readers of the formats; `matrix` is what npy, npz and HDF5 share
hdf5, hdf5_text, parquet
source                 from a path to a reader
send, importer         chunks in flight, rows put aside, positions acknowledged in order
exporter, writers      pages into a part beside the target; npz, HDF5 and parquet made of it
each_tenant            one export per tenant
ingest_files, ingest    files and folders as documents
state, rejects         the files beside a source
progress               the line that says how far it is
"""

from vdb.transfer.each_tenant import export_each_tenant
from vdb.transfer.exporter import ExportOptions, ExportReport, export_file
from vdb.transfer.fields import Fields
from vdb.transfer.importer import ImportOptions, ImportReport, import_file
from vdb.transfer.progress import Progress

__all__ = [
    "ExportOptions",
    "ExportReport",
    "Fields",
    "ImportOptions",
    "ImportReport",
    "Progress",
    "export_each_tenant",
    "export_file",
    "import_file",
]
