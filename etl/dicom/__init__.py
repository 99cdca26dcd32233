"""DICOM series: recognised, grouped, and de-identified by the Basic Application Level Confidentiality Profile.

A series becomes a FHIR Media, which is ingested like every other resource, and one file of voxels. Only attributes
that ``conf/dicom.toml`` names are kept, and no message quotes a value.
"""
