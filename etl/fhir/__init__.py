"""What FHIR R4 is: resource types, the elements of each, their JSON types."""
