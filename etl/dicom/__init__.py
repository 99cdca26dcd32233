"""DICOM series: recognised, grouped, de-identified by the Basic Application Level Confidentiality Profile, kept.

Owns all that knows DICOM. A series becomes one text (a FHIR Media) that goes the way of every other resource, and one
file of voxels. Nothing of a file passes that ``conf/dicom.toml`` does not name, and no message quotes a value.
"""
